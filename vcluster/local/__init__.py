"""The local super cluster behind `vc up`."""

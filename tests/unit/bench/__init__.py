"""The calculations of the bench."""

"""Where a tenant's control plane keeps its objects."""

"""The egress proxy: through it a tenant's API server reaches into the tenant, and nowhere else."""

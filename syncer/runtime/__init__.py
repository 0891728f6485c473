"""Controller machinery; knows nothing of tenants' meaning or of kinds."""

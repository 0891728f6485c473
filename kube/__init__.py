"""A small lossless Kubernetes client on raw bytes; knows nothing of tenants."""

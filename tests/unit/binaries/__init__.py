"""Finding, downloading and building the Kubernetes programs."""

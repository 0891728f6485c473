"""The Kubernetes programs: found, downloaded or built."""

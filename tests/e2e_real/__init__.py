"""End-to-end tests with real nodes: pods run in containers."""

"""Upstream's conformance tests, in a tenant and on the bare super cluster, side by side."""

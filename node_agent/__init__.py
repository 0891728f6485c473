"""The node agent: serves the kubelet API of one node to the tenants' API servers."""

"""The operator: VirtualCluster objects become control planes."""

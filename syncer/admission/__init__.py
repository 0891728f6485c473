"""What may go down, and when: a tenant's quota, gangs, and the cluster's devices. No I/O."""

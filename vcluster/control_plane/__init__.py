"""What a tenant control plane is made of."""

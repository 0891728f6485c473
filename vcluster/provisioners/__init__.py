"""How a control plane is run."""

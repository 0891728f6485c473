"""The local super cluster's pure parts: options, nodes, programs, state."""

"""The fault matrix: what is done to API servers and objects, what is seen, and how long it takes to heal."""

"""The runner of upstream's tests: what it reads, and what it says of it."""

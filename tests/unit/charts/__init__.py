"""The runner of stock charts: its table, its steps, and what it says of them."""

"""Servers in memory that behave like the real ones."""

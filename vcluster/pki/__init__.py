"""Certificates and keys of a tenant."""

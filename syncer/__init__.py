"""Mirrors objects between the tenants and the super cluster."""

"""Attacks by the cluster-admin of a tenant; docs/security.md says what each must not reach."""

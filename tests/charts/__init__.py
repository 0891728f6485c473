"""Stock charts and operators, installed into a tenant, used, and removed again: docs/charts.md."""

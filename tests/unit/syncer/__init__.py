"""The whole syncer between fake API servers: a super cluster and its tenants."""

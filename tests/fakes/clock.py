"""Times as Kubernetes writes them."""

from datetime import UTC, datetime, timedelta


def now(later: float = 0) -> str:
    """The time as Kubernetes writes it."""
    return (datetime.now(UTC) + timedelta(seconds=later)).strftime("%Y-%m-%dT%H:%M:%SZ")

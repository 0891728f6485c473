"""What the super cluster's API server wrote down about its requests."""

import json
from collections import Counter
from pathlib import Path

from tests.e2e.local_system import LocalSystem


def pods_made_twice(local: LocalSystem, tenant_key: str) -> dict[str, int]:
    """Super pods of a tenant that were created more than once, with how often.

    For loads that use each name once. A log that was cut off by a kill can only show too few.
    """
    made = Counter(_created(local.state_directory / "logs", tenant_key))
    return {name: count for name, count in made.items() if count > 1}


def _created(logs: Path, tenant_key: str) -> list[str]:
    found = []
    for log in logs.glob("audit*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if '"create"' not in line or tenant_key not in line:
                continue
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # the server was killed while it wrote
            target = event.get("objectRef", {})
            if (
                event.get("verb") == "create"
                and event.get("stage") == "ResponseComplete"
                and target.get("resource") == "pods"
                and "subresource" not in target
                and target.get("namespace", "").startswith(f"{tenant_key}-")
                and event.get("responseStatus", {}).get("code") == 201
            ):
                found.append(f"{target['namespace']}/{target.get('name')}")
    return found

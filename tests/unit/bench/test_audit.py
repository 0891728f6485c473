"""Calls are counted by user, time, verb and resource."""

import json
from pathlib import Path
from typing import Any

from tests.bench import audit

SYNCER = "virtualcluster:syncer"


def line(verb: str, resource: str, sub: str = "", **changes: Any) -> bytes:
    """An audit event as an API server writes it."""
    entry = {
        "kind": "Event",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": SYNCER, "groups": ["system:authenticated"]},
        "objectRef": {"resource": resource, "namespace": "x", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-11-25T10:00:05.000000Z",
        **changes,
    }
    if sub:
        entry["objectRef"]["subresource"] = sub
    return json.dumps(entry).encode() + b"\n"


def count(*lines: bytes) -> audit.Calls:
    """The syncer's calls in a minute."""
    first, last = "2026-11-25T10:00:00.000000Z", "2026-11-25T10:01:00.000000Z"
    return audit.count(audit.parse(lines), SYNCER, first, last)


def test_by_verb_and_resource_with_its_subresource() -> None:
    calls = count(
        line("create", "pods", "binding"), line("patch", "pods", "status"), line("delete", "pods")
    )
    assert calls == {
        ("create", "pods/binding"): 1,
        ("patch", "pods/status"): 1,
        ("delete", "pods"): 1,
    }


def test_others_other_times_other_stages_and_watches_do_not_count() -> None:
    assert not count(
        line("create", "pods", user={"username": "virtualcluster:admin"}),
        line("create", "pods", requestReceivedTimestamp="2026-11-25T09:59:59.999999Z"),
        line("create", "pods", requestReceivedTimestamp="2026-11-25T10:01:00.000001Z"),
        line("create", "pods", stage="ResponseStarted"),
        line("watch", "pods"),
    )


def test_a_cut_line_and_a_request_without_object_are_survived() -> None:
    calls = count(line("create", "pods")[:80], line("get", "", objectRef={}), line("get", "nodes"))
    assert calls == {("get", ""): 1, ("get", "nodes"): 1}


def test_per_pod_with_and_without_events() -> None:
    calls = count(line("create", "pods"), line("create", "pods"), line("create", "events"))
    assert calls.per_pod(2, events=False) == 1.0
    assert calls.per_pod(2, events=True) == 1.5
    assert calls.rows(2) == {"create pods": 1.0, "create events": 0.5}


def test_status_writes_are_those_of_anybody() -> None:
    entries = list(
        audit.parse(
            [
                line("patch", "pods", "status", user={"username": "kwok"}),
                line("update", "pods", "status"),
                line("patch", "pods"),
                line("patch", "nodes", "status"),
            ]
        )
    )
    assert audit.status_writes(entries, "2026", "2027") == 2


def test_rotated_files_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(line("create", "pods"))
    (tmp_path / "audit-2026-11-25T10-00-00.000.log").write_bytes(line("delete", "pods"))
    (tmp_path / "kube-apiserver.log").write_bytes(line("get", "pods"))
    assert {entry.verb for entry in audit.read(tmp_path / "audit.log")} == {"create", "delete"}

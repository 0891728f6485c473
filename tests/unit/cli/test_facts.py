"""Rows of tables, from objects."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.cli.builders import KEY, pod, ready_tenant, tenant
from vcluster.cli import facts, usage
from vcluster.local.status import Measured

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172800, "2d"),
    ],
)
def test_ages_are_written_as_kubectl_does(seconds: int, expected: str) -> None:
    then = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert facts.age(then, NOW) == expected


def test_a_tenant_that_nobody_looked_at_has_a_row_too() -> None:
    row = facts.tenant_row(tenant(), NOW)
    assert (row["phase"], row["ready"], row["endpoint"]) == ("Pending", "Unknown", None)


def test_a_tenant_on_its_way_out_says_so() -> None:
    found = ready_tenant()
    found["metadata"]["deletionTimestamp"] = "2026-11-25T11:00:00Z"
    assert facts.tenant_row(found, NOW)["phase"] == "Deleting"


def resources(**amounts: str) -> dict[str, Any]:
    """A container that asks for GPUs, as request or limit."""
    return {"resources": {kind: {"nvidia.com/gpu": value} for kind, value in amounts.items()}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, 0),
        ({"containers": [resources(limits="2"), resources(requests="3", limits="3")]}, 5),
        ({"containers": [resources(limits="2")], "initContainers": [resources(limits="4")]}, 4),
        ({"containers": [resources(limits="2k")]}, 0),
    ],
)
def test_gpus_are_counted_as_the_scheduler_does(spec: dict[str, Any], expected: int) -> None:
    assert facts.gpus({"spec": spec}) == expected


def process(group: str, pid: int, memory: float, cpu: float) -> Measured:
    """A measured process."""
    return Measured(group, "kube-apiserver", "RUNNING", pid, 1, 0, memory, cpu, "")


def test_usage_shows_the_scarcest_of_a_quota_first() -> None:
    hard, used = {"pods": "10", "requests.cpu": "4"}, {"pods": "2", "requests.cpu": "3500m"}
    limited = ready_tenant()
    limited["status"]["quota"] = {"hard": hard, "used": used}
    limited["status"]["datastore"] = {"objects": 812, "size": "1.2Mi"}
    share = {"objects": 1000, "size": "8Mi"}
    limited["status"]["effective"] = {"quota": {"datastore": share}}
    [row] = usage.rows([limited], [], [], {})
    assert row["quota"] == ["requests.cpu 3500m/4", "pods 2/10"]
    assert row["datastore"] == "812/1000 objects, 1.2Mi/8Mi"


def test_usage_adds_up_pods_gpus_and_processes_of_each_tenant() -> None:
    pods = [pod("a", gpus=2), pod("b", "Pending", gpus=4), pod("c", "Succeeded", gpus=8)]
    pods.append(pod("d", gpus=1, key="other-00000000"))
    processes = [process(KEY, 1, 100.0, 1.5), process(KEY, 2, 50.0, 0.5), process("super", 3, 9, 9)]
    rows = usage.rows([ready_tenant(), tenant("new")], pods, processes, {(KEY, "down"): 0.0123})
    assert rows[0] | {"phase": "Ready"} == {
        "namespace": "tenants",
        "name": "team-a",
        "key": KEY,
        "phase": "Ready",
        "pods": 2,
        "pods_running": 1,
        "gpus_requested": 6,
        "gpus_used": 2,
        "memory_mib": 150.0,
        "cpu_percent": 2.0,
        "delay_down_ms": 12.3,
        "delay_up_ms": None,
        "quota": None,
        "datastore": None,
    }
    assert rows[1]["pods"] == 0
    assert rows[1]["memory_mib"] is None


def test_delays_are_read_from_the_syncers_own_metrics() -> None:
    from prometheus_client import generate_latest

    from syncer import metrics

    metrics.TENANT_DELAY.labels("cli-test", "down").set(0.25)
    try:
        parsed = usage.parse_delays(generate_latest(metrics.REGISTRY).decode())
    finally:
        metrics.forget("cli-test")
    assert parsed["cli-test", "down"] == 0.25


@pytest.mark.parametrize("direction", ["down", "up"])
def test_the_directions_are_the_syncers(direction: str) -> None:
    delays = {(KEY, direction): 1.0}
    assert usage.rows([ready_tenant()], [], [], delays)[0][f"delay_{direction}_ms"] == 1000.0

"""RuntimeClasses of a tenant's own, against real API servers' admission and scheduler.

Simulated nodes run any handler; that a kubelet does not is seen by ``make conformance``.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from vcluster import api

SANDBOX = "e2e-sandbox"


def a_runtime_class(name: str, handler: str, cpu: str, **labels: str) -> Object:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name, "labels": labels},
        "handler": handler,
        "overhead": {"podFixed": {"cpu": cpu}},
    }


def is_there(cluster: Cluster, name: str) -> bool:
    return cluster.get("runtimeclass", name) is not None


def runs(tenant: TenantCluster, name: str) -> Object:
    tenant.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=150s")
    found: Object = tenant.get("pod", name) or {}
    return found


@pytest.fixture
def offered(local: LocalSystem, team_a: TenantCluster) -> Iterator[None]:
    """The provider offers one handler."""
    local.super.apply(
        a_runtime_class(SANDBOX, "sandboxer", "250m", **{"virtualcluster.dev/public": "true"})
    )
    wait_for("it is offered", partial(is_there, team_a, SANDBOX))
    yield
    local.super.kubectl("delete", "runtimeclass", SANDBOX)


def test_a_class_of_the_tenants_own_names_a_handler_that_is_offered(
    local: LocalSystem, team_a: TenantCluster, offered: None
) -> None:
    team_a.apply(a_runtime_class("mine", "sandboxer", "10m"))
    team_a.apply(pod("sandboxed", runtimeClassName="mine"))
    shown = runs(team_a, "sandboxed")["spec"]
    below = (local.super.get("pod", "sandboxed", team_a.super_namespace()) or {})["spec"]
    assert (below["runtimeClassName"], below["overhead"]) == (SANDBOX, {"cpu": "250m"})
    assert (shown["runtimeClassName"], shown["overhead"]) == ("mine", {"cpu": "10m"})
    team_a.kubectl("label", "pod", "sandboxed", "a=b")
    wait_for(
        "a change goes down",
        lambda: (local.super.get("pod", "sandboxed", team_a.super_namespace()) or {})["metadata"][
            "labels"
        ].get("a"),
    )
    team_a.kubectl("delete", "pod/sandboxed", "runtimeclass/mine")


def test_a_handler_that_nobody_offers_is_scheduled_under_one_that_no_node_has(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(a_runtime_class("nvidia", "nvidia", "10m"))
    team_a.apply(pod("accelerated", runtimeClassName="nvidia"))
    shown = runs(team_a, "accelerated")["spec"]
    assert shown["overhead"] == {"cpu": "10m"}
    below = (local.super.get("pod", "accelerated", team_a.super_namespace()) or {})["spec"]
    assert below["runtimeClassName"] == api.NOT_OFFERED_RUNTIME_CLASS
    assert "overhead" not in below
    wait_for(
        "the tenant is told which handler is not offered",
        lambda: any(
            event["reason"] == "NotOffered" and "the handler 'nvidia'" in event["message"]
            for event in team_a.events("accelerated")
        ),
    )
    team_a.kubectl("delete", "pod/accelerated", "runtimeclass/nvidia")

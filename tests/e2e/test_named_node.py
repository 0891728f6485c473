"""Pods that name their node (``spec.nodeName``), in the words of the real scheduler."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod

NODE, PORT = "cpu-0", 21017


@pytest.fixture(scope="module")
def owner(local: LocalSystem) -> Iterator[TenantCluster]:
    """A tenant that may use host ports."""
    policy = {"policy": {"podSecurity": "privileged"}}
    class_ = {
        "apiVersion": "virtualcluster.dev/v1alpha1",
        "kind": "VirtualClusterClass",
        "metadata": {"name": "host-ports"},
        "spec": policy,
    }
    local.super.apply(class_)
    spec = {"className": "host-ports"} | policy
    local.vc("create", "owner", "-f", "-", stdin=yaml.safe_dump(spec))
    yield local.tenant("owner")
    local.vc("delete", "owner")
    local.super.kubectl("delete", "virtualclusterclass", "host-ports")


def there(name: str, **spec: Any) -> Object:
    return pod(name, nodeName=NODE, **spec)


def at_port(cpu: str = "1m") -> list[Object]:
    ports = [{"containerPort": PORT, "hostPort": PORT}]
    resources = {"requests": {"cpu": cpu}}
    return [{"name": "main", "image": "demo", "ports": ports, "resources": resources}]


def failed(tenant: TenantCluster, name: str) -> Object:
    def status() -> Object | None:
        found: Object = (tenant.get("pod", name) or {}).get("status", {})
        return found if found.get("phase") == "Failed" else None

    return wait_for(f"{name} has failed", status)


def uid(tenant: TenantCluster, name: str) -> str:
    return str((tenant.get("pod", name) or {}).get("metadata", {}).get("uid", ""))


def test_a_stateful_pod_that_its_node_refuses_is_recreated_until_there_is_room(
    local: LocalSystem, owner: TenantCluster
) -> None:
    owner.apply(there("holder", containers=at_port()))
    owner.kubectl("wait", "--for=condition=Ready", "pod/holder", "--timeout=150s")
    owner.apply(there("late", containers=at_port()))
    status = failed(owner, "late")
    assert status["reason"] == "NodePorts"
    assert status["message"] == (
        "Pod was rejected: Predicate NodePorts failed: "
        "node(s) didn't have free ports for the requested pod ports"
    )
    labels = {"app": "set"}
    template = {"metadata": {"labels": labels}, "spec": there("x", containers=at_port())["spec"]}
    stateful = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "set"},
        "spec": {
            "replicas": 1,
            "serviceName": "set",
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }
    owner.apply(stateful)
    first = wait_for("its pod is there", lambda: uid(owner, "set-0"))
    wait_for("it is replaced", lambda: uid(owner, "set-0") not in ("", first))
    assert local.super.get("pod", "late", owner.super_namespace()) is None
    owner.kubectl("delete", "pod", "holder")

    def is_running() -> bool:
        found = owner.get("pod", "set-0") or {}
        return bool(found.get("status", {}).get("phase") == "Running")

    wait_for("the port is free, and it runs", is_running)
    owner.kubectl("delete", "statefulset/set", "pod/late")


@pytest.mark.parametrize(
    ("name", "spec", "reason", "message"),
    [
        (
            "large",
            {"containers": [{"name": "m", "image": "i", "resources": {"requests": {"cpu": 33}}}]},
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 33000, capacity: 32000",
        ),
        (
            "choosy",
            {"nodeSelector": {"disk": "none"}},
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            "torn",
            {"nodeSelector": {"kubernetes.io/hostname": "cpu-1"}},
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
    ],
)
def test_a_pod_that_does_not_fit_its_node_fails_in_the_kubelets_words(
    local: LocalSystem, team_a: TenantCluster, name: str, spec: Object, reason: str, message: str
) -> None:
    team_a.apply(there(name, **spec))
    status = failed(team_a, name)
    assert (status["reason"], status["message"]) == (reason, f"Pod was rejected: {message}")
    wait_for(
        "the tenant is told by an Event",
        lambda: any(event["reason"] == reason for event in team_a.events(name)),
    )
    assert local.super.get("pod", name, team_a.super_namespace()) is None
    team_a.kubectl("delete", "pod", name)


def test_a_pod_whose_node_takes_no_pods_for_now_waits(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    local.super.kubectl("cordon", NODE)
    team_a.apply(there("patient"))
    wait_for(
        "the scheduler finds no place",
        lambda: any(event["reason"] == "FailedScheduling" for event in team_a.events("patient")),
    )
    local.super.kubectl("uncordon", NODE)
    team_a.kubectl("wait", "--for=condition=Ready", "pod/patient", "--timeout=150s")
    team_a.kubectl("delete", "pod", "patient")

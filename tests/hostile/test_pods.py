"""Pods that ask for what is not theirs."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from tests.e2e.test_storage import PUBLIC, claim, storage_class
from tests.hostile.bystander import told
from vcluster import api


def test_what_a_pod_cannot_choose(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    greedy = pod(
        "greedy",
        priorityClassName="system-node-critical",
        schedulerName="nobody",
        serviceAccountName="default",
        automountServiceAccountToken=True,
        nodeName="cpu-0",
        dnsPolicy="ClusterFirst",
        enableServiceLinks=True,
    )
    greedy["metadata"]["labels"] = {
        "kueue.x-k8s.io/queue-name": "alice",
        "scheduling.k8s.io/group-name": "alice",
    }
    mallory.apply(greedy)
    namespace = mallory.super_namespace()
    below = wait_for("it is down", partial(local.super.get, "pod", "greedy", namespace))
    spec = below["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "Never")
    assert spec["priorityClassName"] == api.TENANT_PRIORITY_CLASS
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not [
        volume
        for volume in spec["volumes"]
        if any(
            "serviceAccountToken" in source
            for source in volume.get("projected", {}).get("sources", ())
        )
    ], "no token of the super cluster"
    mallory.kubectl("delete", "pod", "greedy")


@pytest.fixture
def treasures(local: LocalSystem, alice: TenantCluster) -> Iterator[None]:
    """A secret and a claim of alice's, both down."""
    local.super.apply(storage_class("by-hand", PUBLIC))
    alice.kubectl("create", "secret", "generic", "treasure", "--from-literal=a=b")
    user = pod("user", volumes=[{"name": "v", "secret": {"secretName": "treasure"}}])
    alice.apply(user, claim("treasure"))
    kinds = ("secret", "persistentvolumeclaim")
    below = [partial(local.super.get, kind, "treasure", alice.super_namespace()) for kind in kinds]
    for treasure in below:
        wait_for("alice has it", treasure)
    yield
    alice.kubectl("delete", "pod/user", *(f"{kind}/treasure" for kind in kinds))
    wait_for("they are gone below", lambda: not any(treasure() for treasure in below))
    local.super.kubectl("delete", "storageclass", "by-hand")


def test_what_belongs_to_alice_is_not_found(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster, treasures: None
) -> None:
    volumes = {
        "secret": {"secret": {"secretName": "treasure"}},
        "claim": {"persistentVolumeClaim": {"claimName": "treasure"}},
    }
    for kind, source in volumes.items():
        name = f"thief-of-{kind}"
        mallory.apply(pod(name, volumes=[{"name": "v", **source}]))
        message = told(mallory, name)["message"].replace(
            '"', "'"
        )  # a kubelet's words, a scheduler's
        assert "'treasure' not found" in message
        assert local.super.get("pod", name, mallory.super_namespace()) is None
        mallory.kubectl("delete", "pod", name)


def test_a_kubelets_own_pod(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    static = pod("static", nodeName="cpu-0", automountServiceAccountToken=False)
    static["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    answer = mallory.kubectl("create", "-f", "-", stdin=json.dumps(static), check=False)
    assert "created" not in answer
    assert "kubernetes.io/config.mirror is reserved" in answer


def test_a_runtime_that_is_not_offered(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """The provider has it for itself. A class of mallory's own names the handler, by any name and mark."""
    local.super.apply(a_runtime_class("provider-only", "privileged"))
    forged = a_runtime_class("provider-only", "privileged")
    forged["metadata"]["labels"] = {api.PUBLIC_LABEL: "true"}
    disguised = a_runtime_class(api.NOT_OFFERED_RUNTIME_CLASS, "privileged")
    for number, own in enumerate((a_runtime_class("mine", "privileged"), forged, disguised)):
        name = f"sneaky-{number}"
        mallory.apply(own)
        mallory.apply(pod(name, runtimeClassName=own["metadata"]["name"]))
        assert "the handler 'privileged'" in told(mallory, name)["message"]
        below = wait_for(
            "it is down", partial(local.super.get, "pod", name, mallory.super_namespace())
        )
        assert below["spec"]["runtimeClassName"] == api.NOT_OFFERED_RUNTIME_CLASS
        assert "overhead" not in below["spec"]
        mallory.kubectl("delete", f"pod/{name}", f"runtimeclass/{own['metadata']['name']}")
    ours = local.super.get("runtimeclass", api.NOT_OFFERED_RUNTIME_CLASS) or {}
    assert ours["handler"] == api.NOT_OFFERED_HANDLER
    local.super.kubectl("delete", "runtimeclass", "provider-only")


def a_runtime_class(name: str, handler: str) -> Object:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": handler,
        "overhead": {"podFixed": {"cpu": "1m"}},
    }

"""Volumes that are made for claims: their data outlives pods, is shared, and goes with the claim."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e_real.containers import container_pod, is_ready
from vcluster.local.real_nodes.folders import CLASS, storage_class

KEEPS = "hostname >> /data/log; exec sleep 100000"


@pytest.fixture(scope="module")
def tenant(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a, with the class that every system with real nodes has. No claim is left behind."""
    wait_for("the class is shown", lambda: team_a.get("storageclass", CLASS))
    yield team_a
    team_a.kubectl("delete", "pvc", "--all", "--wait=false")
    wait_for("no claim is left", lambda: not team_a.items("pvc"))


def claim(name: str, mode: str = "ReadWriteOnce", **spec: Any) -> Object:
    """A claim that leaves the class to the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Mi"}}} | spec,
    }


def using(name: str, script: str, source: Object, node: str = "", **spec: Any) -> Object:
    """A pod with a volume at /data, and a folder of it at /part."""
    wanted = container_pod(
        name, script, node, volumes=[{"name": "data", **source}], terminationGracePeriodSeconds=0, **spec
    )  # fmt: skip
    wanted["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "data", "mountPath": "/data"},
        {"name": "data", "mountPath": "/part", "subPath": "part"},
    ]
    return wanted


def bound(tenant: TenantCluster, name: str) -> str:
    """The name of a claim's volume, once it has one that the tenant sees as bound to it."""

    def volume() -> str | None:
        found = tenant.get("pvc", name) or {"status": {}}
        if found["status"].get("phase") != "Bound":
            return None
        shown = tenant.get("pv", found["spec"]["volumeName"]) or {"status": {}}
        return found["spec"]["volumeName"] if shown["status"].get("phase") == "Bound" else None

    return wait_for(f"{name} is bound", volume)


def without_trace(local: LocalSystem, tenant: TenantCluster, volume: str) -> Callable[[], bool]:
    """Whether neither the volume nor its data is there any more."""
    folder = local.state_directory / "volumes" / volume
    return lambda: (
        not folder.exists()
        and tenant.get("pv", volume, "") is None
        and local.super.get("pv", volume, "") is None
    )


def test_what_a_stateful_set_wrote_outlives_its_pods(
    local: LocalSystem, tenant: TenantCluster
) -> None:
    spec = using("store", KEEPS, {})["spec"]
    del spec["volumes"]
    tenant.apply({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "store"},
        "spec": {
            "serviceName": "store",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "store"}},
            "template": {"metadata": {"labels": {"app": "store"}}, "spec": spec},
            "volumeClaimTemplates": [claim("data")],
        },
    })  # fmt: skip
    first = wait_for("it runs", lambda: is_ready(tenant, "store-1"))
    volume = bound(tenant, "data-store-1")
    log = ("exec", "store-1", "--", "sh", "-c", "cat /data/log; ls /data")
    # It is ready before it has written.
    wait_for(
        "it has written", lambda: tenant.run(*log).stdout.split() == ["store-1", "log", "part"]
    )
    tenant.kubectl("delete", "pod", "store-1")

    def again() -> bool:
        found = is_ready(tenant, "store-1")
        return found is not None and found["metadata"]["uid"] != first["metadata"]["uid"]

    wait_for("its successor runs", again)
    both = ["store-1", "store-1", "log", "part"]
    wait_for("it has added to it", lambda: tenant.run(*log).stdout.split() == both)
    assert bound(tenant, "data-store-1") == volume
    assert bound(tenant, "data-store-0") != volume
    tenant.kubectl("delete", "statefulset", "store")
    tenant.kubectl("delete", "pvc", "data-store-0", "data-store-1", "--timeout=150s")
    wait_for("its data is gone", without_trace(local, tenant, volume))


def test_pods_on_two_nodes_share_a_volume_and_need_not_be_root(tenant: TenantCluster) -> None:
    shared = {"persistentVolumeClaim": {"claimName": "shared"}}
    person = {"securityContext": {"runAsUser": 1000, "fsGroup": 2000}}
    tenant.apply(
        claim("shared", "ReadWriteMany"),
        using("writes", "echo here > /part/it; exec sleep 100000", shared, "real-0", **person),
        using("reads", "until [ -s /data/part/it ]; do sleep 0.2; done; stat -c %g /part/it "
              "> /dev/termination-log", shared, "real-1", restartPolicy="Never", **person),
    )  # fmt: skip

    def said() -> str | None:
        statuses = (tenant.get("pod", "reads") or {})["status"].get("containerStatuses") or [{}]
        state = statuses[0].get("state", {}).get("terminated") or {}
        message: str | None = state.get("message")
        return message

    assert wait_for("the other node's pod has read it", said) == "2000\n"
    tenant.kubectl("delete", "pod", "writes", "reads", "--wait=false")


def test_an_ephemeral_volume_goes_with_its_pod(local: LocalSystem, tenant: TenantCluster) -> None:
    template = {"spec": claim("")["spec"]}
    tenant.apply(using("brief", KEEPS, {"ephemeral": {"volumeClaimTemplate": template}}))
    wait_for("it runs", lambda: is_ready(tenant, "brief"))
    volume = bound(tenant, "brief-data")
    folder: Path = local.state_directory / "volumes" / volume
    log = folder / "log"
    # It is ready before it has written.
    wait_for("it has written", lambda: log.exists() and log.read_text() == "brief\n")
    tenant.kubectl("delete", "pod", "brief", "--wait=false")
    wait_for("its data is gone", without_trace(local, tenant, volume))


def test_what_a_folder_cannot_be_is_said(tenant: TenantCluster) -> None:
    tenant.apply(claim("block", volumeMode="Block"))

    def told() -> list[str]:
        events = tenant.events("block")
        return [event["message"] for event in events if event["reason"] == "ProvisioningFailed"]

    assert "a folder is no block device" in wait_for("it is said", told)[0]


def test_a_tenants_end_takes_its_data(local: LocalSystem) -> None:
    path = local.state_directory / "brief.yaml"
    path.write_text("dns: {enabled: false}\n")
    brief = local.create_tenant("brief", "--file", str(path))
    wait_for("the class is shown", partial(brief.get, "storageclass", CLASS))
    brief.apply(claim("left"))
    volume = bound(brief, "left")
    (local.state_directory / "volumes" / volume / "data").write_text("something")
    local.vc("delete", "brief")
    gone = partial(local.super.get, "pv", volume, "")
    wait_for("the volume is gone", lambda: gone() is None)
    assert not (local.state_directory / "volumes" / volume).exists()


def test_the_provider_may_keep_the_data(local: LocalSystem, tenant: TenantCluster) -> None:
    keeping = storage_class() | {"reclaimPolicy": "Retain"}
    keeping["metadata"] = {"name": "kept", "labels": keeping["metadata"]["labels"]}
    local.super.apply(keeping)
    wait_for("the class is shown", partial(tenant.get, "storageclass", "kept"))
    tenant.apply(claim("precious", storageClassName="kept"))
    volume = bound(tenant, "precious")
    tenant.kubectl("delete", "pvc", "precious")

    def phase() -> bool:
        found = local.super.get("pv", volume, "") or {}
        return bool(found["status"]["phase"] == "Released")

    wait_for("it is released", phase)
    assert (local.state_directory / "volumes" / volume).is_dir()
    local.super.kubectl("delete", "storageclass/kept", f"pv/{volume}")

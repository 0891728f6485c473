"""Volumes, ingresses, leases, and objects that are too large or too deep."""

import json
import secrets
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from tests.hostile.bystander import alice_works, patched, phase_is, told
from tests.hostile.test_names_and_marks import definition

PUBLIC = {"virtualcluster.dev/public": "true"}


def volume(name: str, **source: Object) -> Object:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "mine",
        "persistentVolumeReclaimPolicy": "Delete",
    }
    metadata = {"name": name, "labels": {"virtualcluster.dev/tenant": "x"}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": metadata,
        "spec": spec | source,
    }


def test_volumes_of_its_own_making(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """They are the super cluster's to give: none goes down, nor does a claim for one."""
    theirs = {"claimRef": {"namespace": alice.super_namespace(), "name": "treasure"}}
    mallory.apply(
        volume("host", hostPath={"path": "/"}),
        volume("metadata", nfs={"server": "169.254.169.254", "path": "/"}),
        volume("theirs", hostPath={"path": "/etc"}, **theirs),
    )
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "host"},
        "spec": {
            "storageClassName": "mine",
            "volumeName": "host",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    mallory.apply(claim)
    mount = {"name": "v", "persistentVolumeClaim": {"claimName": "host"}}
    mallory.apply(pod("climber", volumes=[mount]))
    assert told(mallory, "host")["reason"] == "NotOffered"
    assert local.super.items("persistentvolumes") == []
    namespace = mallory.super_namespace()
    assert local.super.get("persistentvolumeclaim", "host", namespace) is None
    assert local.super.get("pod", "climber", namespace) is None
    mallory.kubectl("delete", "pod/climber", "persistentvolumeclaim/host", "--wait=false")
    mallory.kubectl("delete", "persistentvolumes", "--all", "--wait=false")


@pytest.fixture(scope="module")
def ingresses(local: LocalSystem) -> Iterator[None]:
    """The provider offers them, with one of two classes."""
    provider, own = local.super, ("patch", "virtualclusterclass", "standard")
    classes = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": name, "labels": labels},
            "spec": {"controller": "example.com/none"},
        }
        for name, labels in (("public", PUBLIC), ("private", {}))
    ]
    provider.apply(*classes)
    provider.kubectl(*own, *patched({"spec": {"sync": {"ingresses": True}}}))
    yield
    provider.kubectl(*own, *patched({"spec": {"sync": {"ingresses": False}}}))
    provider.kubectl("delete", "ingressclass", "public", "private")


def ingress(name: str, host: str, annotations: dict[str, str] | None = None, **spec: str) -> Object:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"ingressClassName": "public", "rules": [{"host": host, "http": {"paths": [path]}}]}
        | spec,
    }


SNIPPET = {"nginx.ingress.kubernetes.io/configuration-snippet": "return 200 owned;"}


def test_ingresses_for_what_is_not_its_own(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster, ingresses: None
) -> None:
    below = partial(local.super.get, "ingress")
    alice.apply(ingress("shop", "shop.example.com"))
    wait_for("hers is down", partial(below, "shop", alice.super_namespace()))
    attacks = {
        "same": (ingress("same", "shop.example.com"), "HostTaken"),
        "wildcard": (ingress("wildcard", "*.example.com"), "HostTaken"),
        "nobodys": (ingress("nobodys", ""), "HostRequired"),
        "snippet": (ingress("snippet", "mine.example.org", SNIPPET), "NotAllowed"),
        "private": (ingress("private", "my.example.org", ingressClassName="private"), "NotOffered"),
    }
    mallory.apply(*(obj for obj, _ in attacks.values()))
    for name, (_, reason) in attacks.items():
        assert told(mallory, name)["reason"] == reason, name
        assert below(name, mallory.super_namespace()) is None
    mallory.kubectl("delete", "ingress", *attacks)
    alice.kubectl("delete", "ingress", "shop")
    wait_for("hers is gone", lambda: below("shop", alice.super_namespace()) is None)


def test_leases_of_its_own(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """As the syncers' names in its own cluster, and none at all of its control plane's."""
    where = "virtualcluster-system"
    members = [item["metadata"]["name"] for item in local.super.items("leases", "-n", where)]
    assert members
    mallory.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "leases"}})
    for name in (*members, "syncer-buckets"):
        spec = {"holderIdentity": "mallory", "leaseDurationSeconds": 3600}
        mallory.apply(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "leases"},
                "spec": spec,
            }
        )
    mallory.kubectl("delete", "leases", "--all", "-n", "kube-system")
    mallory.apply(pod("leaseless"))
    wait_for("its pods run", partial(phase_is, mallory, "leaseless", "Running"))
    leases = local.super.items("leases", "-A")
    assert "mallory" not in {item["spec"].get("holderIdentity") for item in leases}
    assert not [item for item in leases if mallory.key in item["metadata"]["namespace"]]
    mallory.kubectl("delete", "pod", "leaseless")
    mallory.kubectl("delete", "namespace", "leases", "--wait=false")


def test_gates_hold_its_own_pods_only(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    gated = pod("gated", schedulingGates=[{"name": "kueue.x-k8s.io/admission"}])
    gated["metadata"] |= {
        "labels": {
            "kueue.x-k8s.io/queue-name": "alice",
            "kueue.x-k8s.io/priority-class": "highest",
        },
        "annotations": {
            "scheduling.volcano.sh/queue-name": "alice",
            "scheduling.k8s.io/group-name": "alice",
        },
    }
    mallory.apply(gated)
    namespace = mallory.super_namespace()
    below = wait_for("it is down", partial(local.super.get, "pod", "gated", namespace))
    assert below["spec"]["schedulerName"] == "default-scheduler"
    alice_works(alice)
    free = json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}])
    mallory.kubectl("patch", "pod", "gated", "--type=json", "-p", free)
    wait_for("it runs", partial(phase_is, mallory, "gated", "Running"))
    mallory.kubectl("delete", "pod", "gated")


def test_the_largest_objects(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """1.3 MiB: what an API server takes at most, and the marks of the mirror come on top."""
    large = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "large", "annotations": {"a": secrets.token_hex(120_000)}},
        "data": {"a": secrets.token_hex(520_000)},
    }
    mallory.kubectl("create", "-f", "-", stdin=json.dumps(large))
    mounted = {"name": "v", "configMap": {"name": "large"}}
    mallory.apply(pod("bearer", volumes=[mounted]))
    wait_for("its pod runs", partial(phase_is, mallory, "bearer", "Running"))
    below = local.super.get("configmap", "large", mallory.super_namespace()) or {}
    assert below["data"] == large["data"]
    alice_works(alice)
    mallory.kubectl("delete", "pod/bearer", "configmap/large")


DEEP = 3000
"""API servers take 10,000; whoever decodes recursively does not."""


def test_an_owner_of_deep_json(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """The syncer reads the owners of pods, to know gangs."""
    (before,) = (row for row in local.processes() if row["name"] == "syncer")
    of_ray = definition("rayclusters", "RayCluster", "ray.io")
    of_ray["spec"]["versions"][0]["name"] = "v1"
    mallory.apply(of_ray)
    metadata = '{"apiVersion":"ray.io/v1","kind":"RayCluster","metadata":{"name":"deep"}'
    owner = metadata + ',"spec":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}"
    path = local.state_directory / "deep.json"
    path.write_text(owner)
    create = ("create", "--raw", "/apis/ray.io/v1/namespaces/default/rayclusters", "-f", str(path))
    found = wait_for(
        "the API server takes it",
        lambda: answer if "uid" in (answer := mallory.kubectl(*create, check=False)) else None,
    )
    uid = found.split('"uid":"')[1].split('"')[0]
    child = pod("child")
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "deep", "uid": uid,
         "controller": True}
    ]  # fmt: skip
    child["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}
    mallory.apply(child)
    for _ in range(3):
        alice_works(alice)
    (syncer,) = (row for row in local.processes() if row["name"] == "syncer")
    assert syncer["restarts"] == before["restarts"], "the syncer goes on"
    mallory.kubectl("delete", "pod", "child", "--wait=false")
    mallory.kubectl("delete", "crd", "rayclusters.ray.io", "--wait=false")
    wait_for("nothing is left of it", lambda: mallory.get("pod", "child") is None)

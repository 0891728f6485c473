"""Claims and volumes: bound in the super cluster, seen in the tenant."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod

PUBLIC = {"virtualcluster.dev/public": "true"}
GROWN = "2Gi"


def storage_class(name: str, labels: dict[str, str], **fields: object) -> Object:
    """A class whose volumes somebody makes by hand."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "labels": labels},
        "provisioner": "kubernetes.io/no-provisioner",
        "allowVolumeExpansion": True,
    } | fields


def volume(name: str, class_name: str, policy: str = "Retain") -> Object:
    """A volume of 1 GiB on a node's disk."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": {"test": "storage"}},
        "spec": {
            "storageClassName": class_name,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": policy,
            "hostPath": {"path": f"/nowhere/{name}"},
        },
    }


def claim(name: str, class_name: str | None = "by-hand", **spec: object) -> Object:
    """A claim of 1 GiB."""
    named = {"storageClassName": class_name} if class_name is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
        | named
        | spec,
    }


def stateful_set(name: str, replicas: int, class_name: str) -> Object:
    """A stateful set, each of whose pods has a claim."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    container = {"name": "main", "image": "demo", "volumeMounts": mounts}
    template = claim("data", class_name)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": pod(name, containers=[container])["spec"],
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": template["spec"]}],
        },
    }


def phase(cluster: Cluster, kind: str, name: str, wanted: str) -> Object | None:
    """The object, once it is in a phase."""
    found = cluster.get(kind, name)
    return found if found and found.get("status", {}).get("phase") == wanted else None


def is_gone(cluster: Cluster, kind: str, name: str, namespace: str = "default") -> bool:
    """There is no such object."""
    return cluster.get(kind, name, namespace) is None


def told(tenant: TenantCluster, name: str, reason: str) -> str:
    """The message of an Event about the object, once there is one."""

    def message() -> str | None:
        events = tenant.events(name)
        return next((event["message"] for event in events if event["reason"] == reason), None)

    return wait_for(f"an Event {reason} about {name}", message)


@pytest.fixture(scope="module")
def storage(local: LocalSystem) -> Iterator[Cluster]:
    """The super cluster, with two public classes and one that is not."""
    late = {"volumeBindingMode": "WaitForFirstConsumer"}
    provider = local.super
    provider.apply(
        storage_class("by-hand", PUBLIC),
        storage_class("by-hand-late", PUBLIC, **late),
        storage_class("internal", {}),
        storage_class("of-fixed-size", PUBLIC, allowVolumeExpansion=False),
    )
    yield provider
    provider.kubectl("delete", "pv", "-l", "test=storage", "--wait=false")
    provider.kubectl(
        "delete", "storageclass", "by-hand", "by-hand-late", "internal", "of-fixed-size"
    )


@pytest.fixture
def tenant(storage: Cluster, team_a: TenantCluster) -> Iterator[TenantCluster]:
    """A tenant that sees the classes; no claim is left behind."""
    for name in ("by-hand", "by-hand-late", "of-fixed-size"):
        wait_for(f"class {name} is shown", partial(team_a.get, "storageclass", name))
    yield team_a
    team_a.kubectl("delete", "pvc", "--all", "--wait=false")
    wait_for("no claim is left", lambda: not team_a.items("pvc"))


@pytest.mark.parametrize("class_name", ["by-hand", "by-hand-late"])
def test_a_stateful_set_with_claims_runs(
    storage: Cluster, tenant: TenantCluster, team_b: TenantCluster, class_name: str
) -> None:
    volumes = {f"{class_name}-{index}" for index in range(2)}
    storage.apply(*(volume(name, class_name) for name in volumes))
    tenant.apply(stateful_set("database", 2, class_name))
    tenant.kubectl("rollout", "status", "statefulset/database", "--timeout=150s")
    bound = [
        wait_for(f"{name} is bound", partial(phase, tenant, "pvc", name, "Bound"))
        for name in ("data-database-0", "data-database-1")
    ]
    assert {item["spec"]["volumeName"] for item in bound} == volumes
    assert all(item["status"]["capacity"] == {"storage": "1Gi"} for item in bound)
    for item in bound:
        name = item["spec"]["volumeName"]
        shown = wait_for(
            "the volume is shown as bound", partial(phase, tenant, "pv", name, "Bound")
        )
        reference = shown["spec"]["claimRef"]
        assert reference["uid"] == item["metadata"]["uid"]
        assert (reference["namespace"], reference["name"]) == ("default", item["metadata"]["name"])
    assert tenant.key not in tenant.kubectl("get", "pv,pvc", "-A", "-o", "json")
    assert not team_b.items("pv"), "another tenant sees none of them"
    tenant.kubectl("delete", "statefulset", "database")
    tenant.kubectl("delete", "pvc", "data-database-0", "data-database-1", "--timeout=150s")
    namespace = tenant.super_namespace()
    for item in bound:
        wait_for(
            "it is gone", partial(is_gone, storage, "pvc", item["metadata"]["name"], namespace)
        )
    for name in volumes:
        wait_for("what is kept shows so", partial(phase, tenant, "pv", name, "Released"))
        storage.kubectl("delete", "pv", name)
        wait_for("the volume is no longer shown", partial(is_gone, tenant, "pv", name))


def test_a_claim_grows(storage: Cluster, tenant: TenantCluster) -> None:
    storage.apply(volume("growing", "by-hand"))
    tenant.apply(claim("growing"))
    wait_for("it is bound", partial(phase, tenant, "pvc", "growing", "Bound"))
    patch = f'{{"spec":{{"resources":{{"requests":{{"storage":"{GROWN}"}}}}}}}}'
    tenant.kubectl("patch", "pvc", "growing", "-p", patch)
    namespace = tenant.super_namespace()

    def asked() -> bool:
        found = storage.get("pvc", "growing", namespace) or {}
        return bool(found["spec"]["resources"]["requests"]["storage"] == GROWN)

    wait_for("the wish is down", asked)
    # What a driver's resizer does.
    storage.kubectl(
        "patch", "pvc", "growing", "-n", namespace, "--subresource=status", "--type=merge",
        "-p", f'{{"status":{{"capacity":{{"storage":"{GROWN}"}}}}}}',
    )  # fmt: skip

    def grown() -> bool:
        found = tenant.get("pvc", "growing") or {}
        return bool(found["status"]["capacity"]["storage"] == GROWN)

    wait_for("the capacity is up", grown)
    tenant.kubectl("delete", "pvc", "growing", "--timeout=150s")


def test_a_claim_of_a_class_that_forbids_it_does_not_grow(
    storage: Cluster, tenant: TenantCluster
) -> None:
    storage.apply(volume("fixed", "of-fixed-size"))
    tenant.apply(claim("fixed", "of-fixed-size"))
    wait_for("it is bound", partial(phase, tenant, "pvc", "fixed", "Bound"))
    patch = f'{{"spec":{{"resources":{{"requests":{{"storage":"{GROWN}"}}}}}}}}'
    assert "forbidden" in tenant.kubectl("patch", "pvc", "fixed", "-p", patch, check=False)
    tenant.kubectl("delete", "pvc", "fixed", "--timeout=150s")


def test_an_ephemeral_volume_is_one_claim_and_goes_with_its_pod(
    storage: Cluster, tenant: TenantCluster
) -> None:
    storage.apply(volume("scratch-disk", "by-hand-late"))
    template = {"spec": claim("", "by-hand-late")["spec"]}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    tenant.apply(pod("brief", volumes=volumes))
    tenant.kubectl("wait", "--for=condition=Ready", "pod/brief", "--timeout=150s")
    wait_for("it is bound", partial(phase, tenant, "pvc", "brief-scratch", "Bound"))
    namespace = tenant.super_namespace()
    claims = {item["metadata"]["name"] for item in storage.items("pvc", "-n", namespace)}
    assert {name for name in claims if "brief" in name} == {"brief-scratch"}
    tenant.kubectl("delete", "pod", "brief")
    wait_for("the claim is gone", partial(is_gone, tenant, "pvc", "brief-scratch"))
    wait_for("also below", partial(is_gone, storage, "pvc", "brief-scratch", namespace))


def test_a_claim_in_use_stays_until_its_pod_is_gone(
    storage: Cluster, tenant: TenantCluster
) -> None:
    storage.apply(volume("protected", "by-hand"))
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "protected"}}]
    tenant.apply(pod("user", volumes=volumes))
    assert '"protected" not found' in told(tenant, "user", "FailedScheduling")
    tenant.apply(claim("protected"))
    tenant.kubectl("wait", "--for=condition=Ready", "pod/user", "--timeout=150s")
    tenant.kubectl("delete", "pvc", "protected", "--wait=false")
    tenant.kubectl("label", "pod", "user", "still=there")
    namespace = tenant.super_namespace()

    def labelled() -> bool:
        found = storage.get("pod", "user", namespace) or {}
        return bool(found["metadata"]["labels"].get("still") == "there")

    wait_for("a later change is down", labelled)
    kept = storage.get("pvc", "protected", namespace)
    assert kept is not None
    assert "deletionTimestamp" not in kept["metadata"]
    tenant.kubectl("delete", "pod", "user")
    wait_for("the claim is gone", partial(is_gone, tenant, "pvc", "protected"))
    wait_for("also below", partial(is_gone, storage, "pvc", "protected", namespace))


def test_only_offered_classes_can_be_used_and_a_later_offer_counts(
    storage: Cluster, tenant: TenantCluster
) -> None:
    storage.apply(volume("private", "internal"))
    tenant.apply(claim("greedy", "internal"), claim("classless", None), claim("empty", ""))
    for name in ("greedy", "classless", "empty"):
        assert "offered: by-hand, by-hand-late, of-fixed-size" in told(tenant, name, "NotOffered")
    # A claim that calls itself bound would be given any volume that it names.
    forged = claim("forged", "by-hand", volumeName="private")
    forged["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    tenant.apply(forged)
    assert "bind-completed" in told(tenant, "forged", "ReservedKey")
    claims = {
        item["metadata"]["name"] for item in storage.items("pvc", "-n", tenant.super_namespace())
    }
    assert claims.isdisjoint({"greedy", "classless", "empty", "forged"})
    storage.kubectl("label", "storageclass", "internal", "virtualcluster.dev/public=true")
    wait_for("the offer counts", partial(phase, tenant, "pvc", "greedy", "Bound"))
    storage.kubectl("label", "storageclass", "internal", "virtualcluster.dev/public-")


def test_a_volume_of_the_tenants_own_keeps_its_name(
    storage: Cluster, tenant: TenantCluster
) -> None:
    own = volume("disk", "own") | {"metadata": {"name": "disk"}}
    tenant.apply(own)
    storage.apply(volume("disk", "by-hand"))
    tenant.apply(claim("clash"))
    found = wait_for("it is bound", partial(phase, tenant, "pvc", "clash", "Bound"))
    name = found["spec"]["volumeName"]
    assert name.startswith("disk-")
    shown = wait_for("its volume is shown", partial(phase, tenant, "pv", name, "Bound"))
    assert shown["spec"]["claimRef"]["name"] == "clash"
    assert (tenant.get("pv", "disk") or {})["spec"]["storageClassName"] == "own"
    tenant.kubectl("delete", "pv", "disk")
    tenant.kubectl("delete", "pvc", "clash", "--timeout=150s")

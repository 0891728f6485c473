"""What goes beyond the standard set: ingresses, snapshots, custom resources; by class and tenant."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import service

PUBLIC = {"virtualcluster.dev/public": "true"}
HOST = "shop.example.com"
CLASS: Object = {
    "apiVersion": "virtualcluster.dev/v1alpha1",
    "kind": "VirtualClusterClass",
    "metadata": {"name": "options"},
    "spec": {
        "sync": {
            "ingresses": True,
            "volumeSnapshots": True,
            "customResources": [
                {
                    "group": "e2e.example.com",
                    "version": "v1",
                    "plural": "widgets",
                    "kind": "Widget",
                    "references": [{"path": "spec.secretName", "kind": "Secret"}],
                },
            ],
        }
    },
}
RIGHTS: Object = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {
        "name": "e2e-widgets",
        "labels": {"virtualcluster.dev/aggregate-to-syncer": "true"},
    },
    "rules": [
        {
            "apiGroups": ["e2e.example.com"],
            "resources": ["widgets"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }
    ],
}


def definition(plural: str, kind: str, group: str, scope: str = "Namespaced") -> Object:
    """A type whose objects may hold anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    annotations = {"api-approved.kubernetes.io": "unapproved, for a test"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": annotations},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


SNAPSHOTS = "snapshot.storage.k8s.io"
DEFINITIONS = (
    definition("widgets", "Widget", "e2e.example.com"),
    definition("volumesnapshots", "VolumeSnapshot", SNAPSHOTS),
    definition("volumesnapshotclasses", "VolumeSnapshotClass", SNAPSHOTS, "Cluster"),
)


def ingress(name: str = "shop", namespace: str = "default") -> Object:
    """An ingress of one host, with a certificate."""
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "ingressClassName": "public",
            "rules": [{"host": HOST, "http": {"paths": paths}}],
            "tls": [{"hosts": [HOST], "secretName": "shop-tls"}],
        },
    }


def told(tenant: TenantCluster, name: str, reason: str) -> str:
    """The message of an Event about the object, once there is one."""

    def message() -> str | None:
        events = tenant.events(name)
        return next((event["message"] for event in events if event["reason"] == reason), None)

    return wait_for(f"an Event {reason} about {name}", message)


def status_above(tenant: TenantCluster, kind: str, name: str, wanted: Object) -> None:
    """Wait until the tenant's object shows a status."""
    wait_for(
        f"the status of {kind} {name} is up",
        lambda: (tenant.get(kind, name) or {}).get("status") == wanted,
    )


def is_served(tenant: TenantCluster, kind: str) -> bool:
    """Whether the tenant's API server answers for a type, which it may not yet when it is established."""
    return tenant.run("get", kind).returncode == 0


@pytest.fixture(scope="module")
def provider(local: LocalSystem) -> Iterator[Cluster]:
    """The super cluster with what the class offers; the types come later."""
    provider = local.super
    provider.apply(
        CLASS,
        RIGHTS,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": "public", "labels": PUBLIC},
            "spec": {"controller": "example.com/proxy"},
        },
    )
    yield provider
    provider.kubectl("delete", "crd", *(one["metadata"]["name"] for one in DEFINITIONS))
    provider.kubectl("delete", "clusterrole", "e2e-widgets")
    provider.kubectl("delete", "ingressclass", "public")
    provider.kubectl("delete", "virtualclusterclass", "options")


@pytest.fixture(scope="module")
def tenant(local: LocalSystem, provider: Cluster) -> Iterator[TenantCluster]:
    """A tenant of the class, made while the super cluster has none of the types."""
    created = local.create_tenant("options", "--class", "options")
    provider.apply(*DEFINITIONS)
    yield created
    local.vc("delete", "options")


def test_an_ingress_waits_for_its_host_and_gets_its_address(
    provider: Cluster, tenant: TenantCluster
) -> None:
    provider.apply(ingress("own", "tenants"))
    wait_for("the class is shown", partial(tenant.get, "ingressclass", "public"))
    tenant.kubectl("create", "secret", "generic", "shop-tls")
    tenant.apply(ingress())
    assert f"'{HOST}' is in use already" in told(tenant, "shop", "HostTaken")
    provider.kubectl("delete", "ingress", "own", "-n", "tenants")
    namespace = tenant.super_namespace()
    below = wait_for("it takes over", partial(provider.get, "ingress", "shop", namespace))
    assert below["spec"] == (tenant.get("ingress", "shop") or {})["spec"]
    wait_for("its certificate is down", partial(provider.get, "secret", "shop-tls", namespace))
    status = '{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.9"}]}}}'
    provider.kubectl(
        "patch", "ingress", "shop", "-n", namespace, "--subresource=status", "--type=merge",
        "-p", status,
    )  # fmt: skip
    status_above(tenant, "ingress", "shop", {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}})


def test_a_name_that_a_shared_controller_would_follow_stays_up(
    provider: Cluster, tenant: TenantCluster
) -> None:
    """An ingress could name the Service, and so lead its controller to another tenant."""
    below = partial(provider.get, "service", "guide", tenant.super_namespace())
    tenant.apply(service("guide"))
    wait_for("it is down", below)
    name = "web.another-tenant.svc.cluster.local"
    change = {"spec": {"type": "ExternalName", "externalName": name, "selector": None}}
    tenant.kubectl("patch", "service", "guide", "--type=merge", "-p", json.dumps(change))
    wait_for("it is gone below", lambda: below() is None)
    tenant.kubectl("delete", "service", "guide")


def test_a_type_that_came_later_its_objects_and_their_status(
    provider: Cluster, tenant: TenantCluster
) -> None:
    wait_for("the type is up", partial(is_served, tenant, "widgets.e2e.example.com"))
    tenant.kubectl("create", "secret", "generic", "widget-key")
    spec = {"secretName": "widget-key", "size": 1}
    widget = {
        "apiVersion": "e2e.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "one"},
        "spec": spec,
    }
    tenant.apply(widget)
    namespace = tenant.super_namespace()
    below = wait_for("it is down", partial(provider.get, "widget", "one", namespace))
    assert below["spec"] == spec
    wait_for("its secret is down", partial(provider.get, "secret", "widget-key", namespace))
    status = f'{{"status":{{"in":"{namespace}"}}}}'
    provider.kubectl(
        "patch", "widget", "one", "-n", namespace, "--subresource=status", "--type=merge",
        "-p", status,
    )  # fmt: skip
    status_above(tenant, "widget", "one", {"in": "default"})
    tenant.kubectl("delete", "widget", "one")
    wait_for("it is gone below", lambda: not provider.items("widget", "-n", namespace))


def test_a_snapshot_of_a_public_class(provider: Cluster, tenant: TenantCluster) -> None:
    for plural in ("volumesnapshots", "volumesnapshotclasses"):
        wait_for(f"{plural} are up", partial(is_served, tenant, f"{plural}.{SNAPSHOTS}"))
    source = {"persistentVolumeClaimName": "data"}
    snapshot = {
        "apiVersion": f"{SNAPSHOTS}/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": "monday"},
        "spec": {"source": source, "volumeSnapshotClassName": "daily"},
    }
    tenant.apply(snapshot)
    assert "offered: none" in told(tenant, "monday", "NotOffered")
    provider.apply(
        {
            "apiVersion": f"{SNAPSHOTS}/v1",
            "kind": "VolumeSnapshotClass",
            "metadata": {"name": "daily", "labels": PUBLIC},
            "driver": "csi.example.com",
            "deletionPolicy": "Delete",
        }
    )
    namespace = tenant.super_namespace()
    wait_for("it is down", partial(provider.get, "volumesnapshot", "monday", namespace))
    wait_for("the class is shown", partial(tenant.get, "volumesnapshotclass", "daily"))


def test_the_tenant_may_do_without_but_not_have_more(
    provider: Cluster, tenant: TenantCluster
) -> None:
    def change(patch: str) -> None:
        provider.kubectl(
            "patch", "virtualcluster", "options", "-n", "tenants", "--type=merge", "-p", patch
        )

    change('{"spec":{"sync":{"ingresses":false}}}')
    namespace = tenant.super_namespace()
    wait_for("ingresses go", lambda: not provider.items("ingress", "-n", namespace))
    assert tenant.get("ingress", "shop"), "the tenant's own stays"
    change('{"spec":{"sync":{"customResources":["gadgets.example.com"]}}}')

    def refused() -> str | None:
        found = provider.get("virtualcluster", "options", "tenants") or {}
        for condition in found["status"]["conditions"]:
            if (condition["type"], condition["status"]) == ("SpecValid", "False"):
                return str(condition["message"])
        return None

    message = wait_for("the spec is judged", refused)
    assert "'gadgets.example.com' is not allowed by the class" in message
    change('{"spec":{"sync":null}}')
    wait_for("it is back", lambda: provider.items("ingress", "-n", namespace))

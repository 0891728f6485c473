"""What must not change by an attack: everything that is not the attacker's."""

import json
from functools import partial

from tests.e2e.local_system import Cluster, Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from vcluster import api

NAMESPACED = (
    "pods,services,endpointslices,secrets,configmaps,serviceaccounts,networkpolicies,"
    "persistentvolumeclaims,poddisruptionbudgets,virtualclusters,ingresses,roles,rolebindings,"
    "resourcequotas,limitranges"
)
GLOBAL = (
    "namespaces,nodes,clusterroles,clusterrolebindings,customresourcedefinitions,servicecidrs,"
    "priorityclasses,runtimeclasses,storageclasses,virtualclusterclasses,flowschemas,"
    "persistentvolumes,ingressclasses,apiservices,validatingwebhookconfigurations,"
    "mutatingwebhookconfigurations,validatingadmissionpolicies"
)
TOKENS = "Secret token"
"""Those of pods that have just ended."""
CHURNING = ("resourceVersion", "managedFields", "annotations", "generation")
"""Of the metadata; annotations hold times of controllers."""


def others_objects(super_cluster: Cluster, attacker: TenantCluster) -> dict[str, Object]:
    """All objects of the super cluster that are not the attacker's, without what changes by itself."""
    items = super_cluster.items(NAMESPACED, "-A") + super_cluster.items(GLOBAL)
    return {
        name: _lasting(item)
        for item in items
        if attacker.key not in (name := _name(item)) and not name.startswith(TOKENS)
    }


def _name(item: Object) -> str:
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    sort = labels.get(api.COMPONENT_LABEL, ""), labels.get(api.TENANT_LABEL, "")
    return " ".join((item["kind"], *sort, metadata.get("namespace", ""), metadata["name"]))


def _lasting(item: Object) -> Object:
    metadata = {key: value for key, value in item["metadata"].items() if key not in CHURNING}
    body = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    return body | {"metadata": metadata}


def alice_works(alice: TenantCluster, seconds: float = 25.0) -> None:
    """A pod of hers runs within the time, and goes.

    By default less than what a request of mallory's can be made to last, which is 30 s.
    """
    alice.apply(pod("witness"))
    wait_for("alice's pod runs", partial(phase_is, alice, "witness", "Running"), seconds)
    alice.kubectl("delete", "pod", "witness", "--timeout=150s")


def phase_is(tenant: TenantCluster, name: str, phase: str) -> bool:
    """The pod is in the phase."""
    found = tenant.get("pod", name) or {}
    return bool(found.get("status", {}).get("phase") == phase)


def told(tenant: TenantCluster, name: str, namespace: str = "default") -> Object:
    """The first Event of ours about the object, once there is one."""
    found: Object = wait_for(
        f"an Event about {name}",
        lambda: next(
            (
                event
                for event in tenant.events(name, namespace)
                if event.get("reportingComponent") == "virtualcluster"
                or event["source"].get("component") == "virtualcluster"
            ),
            None,
        ),
    )
    return found


def patched(value: Object) -> tuple[str, ...]:
    """The arguments of a merge patch for kubectl."""
    return "--type=merge", "-p", json.dumps(value)


def created(tenant: TenantCluster, obj: Object) -> bool:
    """The tenant's own API server takes it."""
    return "created" in tenant.kubectl("create", "-f", "-", stdin=json.dumps(obj), check=False)

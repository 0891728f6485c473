"""A tenant's pod as it goes down to the super cluster.

Every field that is not named here or in the modules beside passes unchanged, known to us or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kube.objects import Object
from kube.resources import PODS
from syncer.kinds.mirror import digest, super_metadata
from syncer.kinds.offers import Offers
from syncer.kinds.pod_claims import claims, refuse_classes
from syncer.kinds.pod_containers import container, refuse_reserved_names
from syncer.kinds.pod_downward_api import shown_texts
from syncer.kinds.pod_placement import affinity, without_merged_keys
from syncer.kinds.pod_volumes import volume
from syncer.kinds.runtime_class import handler_mark, runtime
from syncer.kinds.trust_bundles import trust_requests
from vcluster import api
from vcluster.api import Tenant

RESOURCE = PODS
CLUSTER_DOMAIN = "cluster.local"
LONGEST_LABEL, LONGEST_HOSTNAME = 63, 64
MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048

# Belong to the tenant's own control plane, or name things that only exist there.
TENANT_ONLY = (
    "nodeName",  # becomes a required node affinity
    "serviceAccount",  # deprecated twin of serviceAccountName
    "serviceAccountName",  # super pods run as "default"; the tenant's token comes from a Secret
    "schedulingGroup",  # the syncer sees to gangs (docs/decisions/0009)
    "schedulerName",  # a scheduler that a tenant names does not exist in the super cluster
    "priority",  # computed from the class, by the super cluster's own admission
    "preemptionPolicy",  # likewise
    "overhead",  # likewise, from the runtime class
    "ephemeralContainers",  # may only be added later, through their own subresource
)


# Each API server's own admission copies these from the node when the pod is bound.
NODE_LABELS = frozenset({"topology.kubernetes.io/region", "topology.kubernetes.io/zone"})


def to_super(pod: Object, tenant: Tenant, offers: Offers, handler: str | None = None) -> Object:
    """The super pod for a tenant's pod, with its marks. Raises Refused.

    ``handler``: of the RuntimeClass that the pod names, in the tenant (``kinds/runtime_class.py``).
    """
    metadata, spec = pod["metadata"], pod["spec"]
    namespace = metadata["namespace"]
    wanted = {name: value for name, value in spec.items() if name not in TENANT_ONLY}
    wanted |= _priority_class(wanted.pop("priorityClassName", ""), offers)
    wanted |= runtime(spec.get("runtimeClassName"), handler, tenant, offers)
    wanted |= claims(pod, tenant)
    refuse_classes(spec, tenant, offers)
    refuse_reserved_names(wanted)
    for kind in ("initContainers", "containers"):
        if kind in spec:
            wanted[kind] = [container(item, tenant) for item in spec[kind]]
    if "volumes" in spec:
        tokens, bundles = token_requests(pod), trust_requests(pod)
        wanted["volumes"] = [volume(item, pod, tokens, bundles) for item in spec["volumes"]]
    labels = metadata.get("labels") or {}
    if placed := affinity(spec.get("affinity"), spec.get("nodeName"), labels, tenant):
        wanted["affinity"] = placed
    if spread := spec.get("topologySpreadConstraints"):
        wanted["topologySpreadConstraints"] = [without_merged_keys(item, labels) for item in spread]
    if own_name := full_hostname(spec, namespace, metadata["name"]):
        wanted |= {"hostnameOverride": own_name, "setHostnameAsFQDN": False}
    wanted |= dns(spec, namespace, tenant)
    wanted |= {"serviceAccountName": "default", "automountServiceAccountToken": False}
    marked = pod_metadata(pod, tenant)
    annotations = marked["annotations"] | pod_marks(pod) | handler_mark(wanted, handler)
    if node := spec.get("nodeName"):
        annotations[api.NODE_NAME_ANNOTATION] = node
    # Debug containers only come in an update: the digest says that they are not there yet.
    created = pod | {"spec": spec | {"ephemeralContainers": []}}
    annotations[api.DIGEST_ANNOTATION] = mutable_digest(created, tenant)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": marked | {"annotations": annotations},
        "spec": wanted,
    }


def _priority_class(name: str, offers: Offers) -> Object:
    """The class goes as its priority does: admission would refuse one that there is not."""
    below = name if name in offers.priority_classes else offers.tenant_priority_class
    return {"priorityClassName": below} if below else {}


def pod_metadata(pod: Object, tenant: Tenant) -> Object:
    """The metadata of the super pod, without what binding adds on either side."""
    metadata = pod["metadata"]
    labels = {
        key: value
        for key, value in (metadata.get("labels") or {}).items()
        if key not in NODE_LABELS
    }
    return super_metadata(pod | {"metadata": metadata | {"labels": labels}}, tenant)


def full_hostname(spec: Object, namespace: str, name: str) -> str:
    """The tenant's full name of a pod that wants it as its hostname; empty if it does not.

    The node would make it of the super namespace. One that is too long for a hostname is left to the
    node, which says so. A pod that only has a subdomain keeps its short hostname: see pod_hosts.py for
    what ``/etc/hosts`` says of it.
    """
    subdomain = spec.get("subdomain")
    excluded = spec.get("hostNetwork") or spec.get("hostnameOverride")
    if not subdomain or not spec.get("setHostnameAsFQDN") or excluded:
        return ""
    hostname = spec.get("hostname") or name[:LONGEST_LABEL].rstrip("-.")
    full = f"{hostname}.{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"
    return full if len(full) <= LONGEST_HOSTNAME else ""


def pod_marks(pod: Object) -> dict[str, str]:
    """The annotations that only super pods carry; the digest excepted."""
    spec = pod["spec"]
    gates = [gate["name"] for gate in spec.get("schedulingGates") or ()]
    return {
        api.GENERATION_ANNOTATION: str(pod["metadata"].get("generation", 0)),
        api.SERVICE_ACCOUNT_ANNOTATION: spec.get("serviceAccountName", "default"),
        **shown_texts(pod),
        **({api.SCHEDULING_GATES_ANNOTATION: " ".join(gates)} if gates else {}),
    }


def mutable_digest(pod: Object, tenant: Tenant) -> str:
    """A digest of all that a tenant may change on a pod after creation, as the mirror shows it.

    What may not change (and what binding changes: the node) is left out, so that a difference always
    means that there is something to patch.
    """
    marked = pod_metadata(pod, tenant)
    spec = pod["spec"]
    shown: dict[str, Any] = {
        "labels": marked["labels"],
        "annotations": marked["annotations"],
        "tolerations": spec.get("tolerations"),
        "gates": spec.get("schedulingGates"),
        "deadline": spec.get("activeDeadlineSeconds"),
        "resources": spec.get("resources"),
        "nodeSelector": spec.get("nodeSelector"),
        "affinity": spec.get("affinity"),
        "ephemeral": [item["name"] for item in spec.get("ephemeralContainers") or ()],
    }
    for kind in ("initContainers", "containers"):
        shown[kind] = [
            (item["name"], item.get("image"), item.get("resources"))
            for item in spec.get(kind) or ()
        ]
    return digest(shown)


def dns(spec: Object, namespace: str, tenant: Tenant) -> Object:
    """The super pod's DNS fields: the tenant's own server, and the usual search list."""
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        return {"dnsPolicy": "Default"}  # what the kubelet makes of it
    if policy not in ("ClusterFirst", "ClusterFirstWithHostNet"):
        return {}
    own = spec.get("dnsConfig") or {}
    searches = [f"{namespace}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN]
    options = own.get("options") or []
    if not any(option.get("name") == "ndots" for option in options):
        options = [{"name": "ndots", "value": "5"}, *options]
    # What is beyond the limits the kubelet would leave out; with policy None it is refused.
    config = own | {
        "nameservers": _unique([tenant.dns_address, *(own.get("nameservers") or ())])[:MAX_SERVERS],
        "searches": _searches([*searches, *(own.get("searches") or ())]),
        "options": options,
    }
    return {"dnsPolicy": "None", "dnsConfig": config}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A service account token that a pod mounts: for whom, and for how many seconds."""

    audience: str
    seconds: int

    @property
    def unique(self) -> tuple[str, int]:
        """Two volumes with the same value can share one token."""
        return self.audience, self.seconds


def token_requests(pod: Object) -> list[TokenRequest]:
    """The different tokens that the pod's volumes ask for; the index is the key in the Secret."""
    found: dict[TokenRequest, None] = {}
    for item in pod["spec"].get("volumes") or ():
        for source in (item.get("projected") or {}).get("sources") or ():
            if asked := source.get("serviceAccountToken"):
                seconds = asked.get("expirationSeconds") or 3600
                found[TokenRequest(asked.get("audience", ""), seconds)] = None
    return list(found)


def _searches(wanted: Sequence[str]) -> list[str]:
    domains = _unique(wanted)[:MAX_SEARCHES]
    while len(" ".join(domains)) > MAX_SEARCH_CHARACTERS:
        domains.pop()
    return domains


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))

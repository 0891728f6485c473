"""Whether a tenant and the super cluster agree: every difference, in words."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from kube.client import Client
from kube.objects import Object
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICES
from tests.chaos.clusters import DEPLOYMENTS, all_of, connected
from tests.e2e.local_system import LocalSystem, TenantCluster
from vcluster.api import super_namespace

PREFIX = "virtualcluster.dev/"
TENANT, COMPONENT = f"{PREFIX}tenant", f"{PREFIX}component"
ROOT_CA = "kube-root-ca.crt"
MIRRORED_ROOT_CA = "virtualcluster-root-ca.crt"
OF_THE_NODE = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
"""Labels that each side's API server copies from the node by itself."""

AGREE_SECONDS = 100.0
"""Longer than the longest back-off (30 s) twice, and than a silent watch is believed (90 s)."""

Identity = tuple[str, str]
"""Namespace and name, as the tenant says them."""


@dataclass(frozen=True)
class Sides:
    """The objects of one tenant on both sides, by plural name of their kind."""

    key: str
    tenant: dict[str, list[Object]]
    super: dict[str, list[Object]]


async def both_sides_agree(
    local: LocalSystem, *tenants: TenantCluster, seconds: float = AGREE_SECONDS
) -> None:
    """Wait until nothing differs and nothing is left over; AssertionError with every difference."""
    async with connected(local.super) as super_client:
        for tenant in tenants:
            async with connected(tenant) as client:
                await _settled(tenant, client, super_client, seconds)


async def _settled(
    tenant: TenantCluster, client: Client, super_client: Client, seconds: float
) -> None:
    deadline = monotonic() + seconds
    while found := differences(await _read(tenant, client, super_client)):
        if monotonic() > deadline:
            listing = "\n  ".join(found)
            raise AssertionError(
                f"{tenant.key}: the sides differ after {seconds:g} s:\n  {listing}"
            )
        await asyncio.sleep(0.3)  # between two looks


async def _read(tenant: TenantCluster, client: Client, super_client: Client) -> Sides:
    kinds = (NAMESPACES, PODS, SERVICES, CONFIG_MAPS, SECRETS)
    selector = f"{TENANT}={tenant.key}"
    own = {kind.plural: await all_of(client, kind) for kind in (*kinds, DEPLOYMENTS)}
    mirrors = {kind.plural: await all_of(super_client, kind, selector) for kind in kinds}
    prefix = f"{tenant.key}-"
    mirrors["all pods"] = [
        pod
        for pod in await all_of(super_client, PODS)
        if pod["metadata"]["namespace"].startswith(prefix)
    ]
    return Sides(tenant.key, own, mirrors)


def differences(sides: Sides) -> list[str]:
    """Every difference, in words; empty if both sides agree and nothing is left over. Pure."""
    return [
        *_namespaces(sides),
        *_pods(sides),
        *_tokens(sides),
        *_configuration(sides, "configmaps"),
        *_configuration(sides, "secrets"),
        *_services(sides),
        *_deployments(sides),
    ]


def source(mirror: Object) -> Identity:
    """Which object of the tenant a super object says it mirrors."""
    marks = mirror["metadata"].get("annotations") or {}
    return marks.get(f"{PREFIX}namespace", ""), marks.get(f"{PREFIX}name", "")


def source_uid(mirror: Object) -> str:
    """The UID of that object; empty if it is not marked."""
    return str((mirror["metadata"].get("annotations") or {}).get(f"{PREFIX}uid", ""))


def _identity(obj: Object) -> Identity:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _namespaces(sides: Sides) -> Iterator[str]:
    own = {namespace["metadata"]["name"]: namespace for namespace in sides.tenant["namespaces"]}
    shown = {}
    for mirror in sides.super["namespaces"]:
        name = mirror["metadata"]["name"]
        if name == sides.key:
            continue  # the root namespace
        shown[source(mirror)[1]] = source_uid(mirror)
        if "deletionTimestamp" in mirror["metadata"]:
            yield f"super namespace {name} is stuck terminating"
    for name in own.keys() | shown.keys():
        if name not in shown:
            yield f"namespace {name} has no super namespace"
        elif name not in own:
            yield f"the super namespace of {name} is left over"
        elif own[name]["metadata"]["uid"] != shown[name]:
            yield f"the super namespace of {name} is of another UID"


def _pods(sides: Sides) -> Iterator[str]:
    own = {_identity(pod): pod for pod in sides.tenant["pods"]}
    mirrors = {source(pod): pod for pod in sides.super["pods"]}
    for uid, count in Counter(source_uid(pod) for pod in sides.super["pods"]).items():
        if count > 1 or not uid:
            yield f"{count} super pods carry the UID mark {uid!r}"
    for pod in sides.super["all pods"]:
        if pod["metadata"].get("labels", {}).get(TENANT) != sides.key:
            yield f"super pod {_identity(pod)} does not carry the tenant's label"
    for identity in sorted(own.keys() | mirrors.keys()):
        own_pod, mirror = own.get(identity), mirrors.get(identity)
        if mirror is None:
            yield f"pod {identity} ({_phase(own[identity])}) has no super pod"
        elif own_pod is None:
            yield f"the super pod of {identity} ({_phase(mirror)}) is left over"
        else:
            yield from _pod(identity, own_pod, mirror, sides.key)


def _pod(identity: Identity, pod: Object, mirror: Object, key: str) -> Iterator[str]:
    if mirror["metadata"]["namespace"] != super_namespace(key, identity[0]):
        yield f"the super pod of {identity} is in {mirror['metadata']['namespace']}"
    for side, obj in (("pod", pod), ("super pod of", mirror)):
        if "deletionTimestamp" in obj["metadata"]:
            yield f"{side} {identity} is stuck terminating"
    pairs: dict[str, tuple[Any, Any]] = {
        "UID": (pod["metadata"]["uid"], source_uid(mirror)),
        "labels": (_labels(pod), _labels(mirror)),
        "node": (pod["spec"].get("nodeName"), mirror["spec"].get("nodeName")),
        "status": (_status(pod), _status(mirror)),
    }
    for what, (wanted, shown) in pairs.items():
        if wanted != shown:
            yield f"{what} of pod {identity}: {wanted} in the tenant, {shown} in the super cluster"


def _labels(obj: Object) -> dict[str, str]:
    return {
        key: value
        for key, value in (obj["metadata"].get("labels") or {}).items()
        if not key.startswith(PREFIX) and key not in OF_THE_NODE
    }


def _status(pod: Object) -> Object:
    """All that a tenant sees of a pod's state, times and generations excepted."""
    status = pod.get("status") or {}
    shown = {name: status.get(name) for name in ("phase", "podIP", "hostIP", "startTime", "reason")}
    return shown | {
        "conditions": {
            condition["type"]: (condition["status"], condition.get("reason"))
            for condition in status.get("conditions") or ()
        },
        "containers": {
            container["name"]: (container.get("containerID"), sorted(container.get("state") or {}))
            for container in status.get("containerStatuses") or ()
        },
    }


def _phase(pod: Object) -> str:
    deleting = ", terminating" if "deletionTimestamp" in pod["metadata"] else ""
    return f"{(pod.get('status') or {}).get('phase')}{deleting}"


def _tokens(sides: Sides) -> Iterator[str]:
    pods = {pod["metadata"]["uid"]: _identity(pod) for pod in sides.tenant["pods"]}
    counts = Counter(source_uid(secret) for secret in sides.super["secrets"] if _is_token(secret))
    for uid in counts.keys() - pods.keys():
        yield f"a token Secret is left over, of a pod of UID {uid}"
    bound = {pod["metadata"]["uid"] for pod in sides.tenant["pods"] if pod["spec"].get("nodeName")}
    for uid, identity in pods.items():
        if counts[uid] != 1 and uid in bound:
            yield f"pod {identity} has {counts[uid]} token Secrets"


def _is_token(secret: Object) -> bool:
    return bool((secret["metadata"].get("labels") or {}).get(COMPONENT) == "token")


def _configuration(sides: Sides, plural: str) -> Iterator[str]:
    """Config maps or secrets: just those that a pod names are in the super cluster, and equal."""
    own = {_identity(item): item for item in sides.tenant[plural]}
    mirrors = {
        source(item): item
        for item in sides.super[plural]
        if not _is_token(item) and item["metadata"]["namespace"] != sides.key
    }
    used = set(_used(sides.tenant["pods"], plural))
    for identity in sorted(mirrors.keys() - used):
        yield f"{plural} {identity} is in the super cluster, and no pod uses it"
    for identity in sorted(used - mirrors.keys()):
        yield f"{plural} {identity} is used, and not in the super cluster"
    for identity in sorted(used & mirrors.keys()):
        item, mirror = own.get(identity), mirrors[identity]
        if item is None or item["metadata"]["uid"] != source_uid(mirror):
            yield f"{plural} {identity} is of another UID in the super cluster"
        elif item.get("data") != mirror.get("data"):
            yield f"the data of {plural} {identity} differ"


def _used(pods: Iterable[Object], plural: str) -> Iterator[Identity]:
    """By the ways that these tests and CoreDNS use: volumes, and a container's envFrom."""
    volume, name, field = (
        ("configMap", "name", "configMapRef")
        if plural == "configmaps"
        else ("secret", "secretName", "secretRef")
    )
    for pod in pods:
        namespace = pod["metadata"]["namespace"]
        if plural == "configmaps" and pod["spec"].get("volumes"):
            yield namespace, ROOT_CA
        for item in pod["spec"].get("volumes") or ():
            if (named := item.get(volume)) and not named.get("optional"):
                yield namespace, named[name]
        for container in pod["spec"]["containers"]:
            for reference in container.get("envFrom") or ():
                if field in reference:
                    yield namespace, reference[field]["name"]


def _services(sides: Sides) -> Iterator[str]:
    own = {_identity(service): service for service in sides.tenant["services"]}
    mirrors = {source(service): service for service in sides.super["services"]}
    own.pop(("default", "kubernetes"), None)
    mirrors.pop(("default", "kubernetes"), None)
    for identity in sorted(own.keys() ^ mirrors.keys()):
        yield f"service {identity} is on one side only"
    for identity in sorted(own.keys() & mirrors.keys()):
        service, mirror = own[identity], mirrors[identity]
        if service["spec"].get("clusterIP") != mirror["spec"].get("clusterIP"):
            yield f"the addresses of service {identity} differ"
        if service["metadata"]["uid"] != source_uid(mirror):
            yield f"the super service of {identity} is of another UID"


def _deployments(sides: Sides) -> Iterator[str]:
    for deployment in sides.tenant["deployments"]:
        labels = deployment["spec"]["selector"]["matchLabels"]
        wanted = deployment["spec"]["replicas"]
        pods = _matching(sides.tenant["pods"], labels)
        mirrors = _matching(sides.super["pods"], labels)
        ready = (deployment.get("status") or {}).get("readyReplicas", 0)
        if not (wanted == len(pods) == len(mirrors) == ready):
            yield (
                f"deployment {_identity(deployment)} wants {wanted} replicas: "
                f"{len(pods)} pods, {len(mirrors)} super pods, {ready} ready"
            )


def _matching(pods: Sequence[Object], labels: dict[str, str]) -> list[Object]:
    return [pod for pod in pods if labels.items() <= (pod["metadata"].get("labels") or {}).items()]

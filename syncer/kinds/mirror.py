"""What every mirrored object has in common: names, marks, digests, refusals, merge patches."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from kube.errors import ApiError
from kube.objects import Object, ObjectKey
from kube.resources import Resource
from syncer.kinds.offers import Offers
from vcluster import api
from vcluster.api import Tenant, super_namespace

if TYPE_CHECKING:
    from syncer.kinds.pod_volumes import Reference


class Refused(Exception):
    """The object may not go to the other side; the tenant is told by an Event.

    ``field`` is the path of what is refused (``spec.clusterIP``); ``reason`` is CamelCase, for
    programs; the message names the value and says what would be right.
    """

    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.reason = reason


class Recreate(Exception):
    """A patch cannot bring the live object to what is wanted: ``field`` never changes in place.

    The reconciler deletes the live object, by its UID, and creates the wanted one.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} cannot be changed in place")
        self.field = field


@dataclass(frozen=True, slots=True)
class Write:
    """A change to the source object that the mirror's state asks for (node ports, status)."""

    subresource: str
    patch: Object
    """A JSON merge patch (RFC 7386)."""


class Target(NamedTuple):
    """An object of the super cluster that another one names; the UID is empty if it names none."""

    key: ObjectKey
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """How an object of the super cluster names one that the tenant knows by another name."""

    resource: Resource
    """The kind of what is named."""
    target: Callable[[Object], Target | None]
    """What the super object names."""
    replaced: Callable[[Object, ObjectKey, str], Object]
    """``(object, key, UID)`` → the object, naming the tenant's object of that key and UID."""


class Pods(Protocol):
    """The pods of one of the tenant's namespaces, on both sides."""

    def shown(self, name: str, uid: str) -> str:
        """The UID of the tenant's living pod of which this is the super pod; empty: there is none."""

    def stays(self, name: str, uid: str) -> bool:
        """This is a living pod of the tenant's, and is not being deleted."""

    def is_bound(self, name: str, uid: str) -> bool:
        """This is a living pod of the tenant's, and it has a node."""


def every_tenant(_: Tenant) -> bool:
    """The kind is mirrored whatever the options are."""
    return True


@dataclass(frozen=True, slots=True)
class DownwardKind:
    """A kind that goes from a tenant to the super cluster. All functions are pure."""

    resource: Resource
    to_super: Callable[[Object, Tenant], Object | None]
    """The wanted super object with its marks; None: it does not go down. Raises Refused."""
    patch: Callable[[Object, Object], Object | None]
    """``(live, wanted)`` → the smallest JSON merge patch that brings the live super object to what
    is wanted, leaving alone what others added; None: nothing to do. Raises Recreate."""
    to_tenant: Callable[[Object, Object, Tenant], list[Write]] | None = None
    """``(super object, tenant object, tenant)`` → what must be written to the tenant's object."""
    modest: Callable[[Object, ApiError], Object] | None = None
    """``(wanted, refusal)`` → the wanted super object without the wishes that were refused; as it is if
    it was refused for something else."""
    on_demand: bool = False
    """Goes down only while a pod of the tenant uses it; only its metadata is watched."""
    admitted: Callable[[Object, Offers], Object] | None = None
    """``(tenant object, offers)`` → the object with its defaults, asked when the mirror is created and
    never later, as admission is. Raises Refused; tried again when the offers change."""
    link: Link | None = None
    """To an upward kind, which has to be shown first; ``to_tenant`` gets the mirror translated."""
    consumers: Callable[[Object, Object, Pods], Object] | None = None
    """``(super object, tenant object, pods)`` → the super object, naming the tenant's pods instead of
    super pods. ``to_tenant`` gets it."""
    enabled: Callable[[Tenant], bool] = every_tenant
    """The tenant's options have this kind go down. If they no longer do, its mirrors go."""
    by_definition: bool = False
    """A custom resource: served only where its definition is, which may come and go. Its mirrors may
    be somebody's data, so they stay when the option is withdrawn."""
    hosts: Callable[[Object], frozenset[str]] | None = None
    """The host names that an object (on either side) asks for; each has one owner among all tenants."""
    references: "Callable[[Object, Tenant], tuple[Reference, ...]] | None" = None
    """Of a tenant object: the on-demand objects that it uses, which go down for it."""


@dataclass(frozen=True, slots=True)
class UpwardKind:
    """A cluster-scoped kind of the super cluster that tenants see. All functions are pure."""

    resource: Resource
    to_tenant: Callable[[Object, Tenant], Object | None]
    """The object as the tenant sees it, with the marks; None: the tenant does not see it."""
    patch: Callable[[Object, Object], list[Write]]
    """``(live tenant object, wanted)`` → the writes that bring it to what is wanted; none for an
    object without our UID mark. Raises Recreate."""
    digest: Callable[[Object], str]
    """Of the super object: what changes when, and only when, the tenant's copy may have to change
    (heartbeats leave it alone)."""
    link: Link | None = None
    """To a downward kind: only the tenant whose mirror the object names sees it. If the tenant has an
    object of that name itself, it sees this one under another name."""
    node: Callable[[Object], str] | None = None
    """The node that the object is of: it is shown to those who see that node. Empty: to nobody."""
    released: Callable[[Object], list[Write]] | None = None
    """Of the live tenant object: what has to be written before it can be deleted."""
    enabled: Callable[[Tenant], bool] = every_tenant
    """The tenant's options have this kind shown. What was shown before stays."""
    by_definition: bool = False
    """A custom resource: served only where its definition is, which may come and go."""
    names: Callable[[Tenant], Container[str]] | None = None
    """Only objects of these names are shown."""
    metadata_only: bool = False
    """Large and rarely changed: only metadata is watched (``digest`` sees no more), the rest is read."""
    kept: bool = False
    """Never deleted in a tenant: the tenant's own data would go with it."""


def digest(value: Any) -> str:
    """A short digest that does not depend on the order of keys: 16 hexadecimal digits."""
    data = msgspec.json.encode(value, order="deterministic")
    return blake2b(data, digest_size=8).hexdigest()


def super_metadata(
    source: Object,
    tenant: Tenant,
    *,
    name: str | None = None,
    namespaced: bool = True,
    vetted: bool = False,
) -> Object:
    """The metadata of a mirror: the tenant's labels and annotations, and our marks.

    Annotations that the policy withholds have another key, unless they are ``vetted``: the caller has
    decided about them. Not copied, since they mean nothing on the other side: owner references, finalizers,
    generateName, managed fields, versions. Raises Refused for a label or annotation under our prefix.
    """
    metadata = source["metadata"]
    labels = dict(metadata.get("labels") or {})
    annotations = dict(metadata.get("annotations") or {})
    for field, keys in (("labels", labels), ("annotations", annotations)):
        refuse_reserved(f"metadata.{field}", keys)
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if not vetted:
        annotations = _withheld(annotations, tenant.policy.withheld_annotations)
    wanted: Object = {
        "name": name or metadata["name"],
        "labels": labels | {api.TENANT_LABEL: tenant.key, api.BUCKET_LABEL: tenant.bucket},
        "annotations": annotations
        | remembered_keys(labels, annotations)
        | {
            api.NAMESPACE_ANNOTATION: metadata.get("namespace", ""),
            api.NAME_ANNOTATION: metadata["name"],
            api.UID_ANNOTATION: metadata["uid"],
        },
    }
    if namespaced:
        wanted["namespace"] = super_namespace(tenant.key, metadata["namespace"])
    return wanted


def key_within(key: str, domain: str) -> str:
    """The key of a label or annotation, moved into a domain of ours: ``a.b/c`` → ``a.b.domain/c``."""
    own, _, name = key.rpartition("/")
    return f"{own}.{domain}/{name}" if own else f"{domain}/{name}"


def listed(key: str, keys: Container[str]) -> bool:
    """The key is in a list of whole keys and of ``prefix/*``."""
    return key in keys or f"{key.partition('/')[0]}/*" in keys


def _withheld(annotations: dict[str, str], keys: Container[str]) -> dict[str, str]:
    return {
        key_within(key, api.WITHHELD_DOMAIN) if listed(key, keys) else key: value
        for key, value in annotations.items()
    }


def refuse_reserved(field: str, keys: Iterable[str]) -> None:
    """Raise Refused if a tenant uses a label or annotation key under our prefix."""
    for key in keys:
        if key.startswith(api.PREFIX) and key not in api.TENANT_KEYS:
            raise Refused(
                field, "ReservedKey", f"{key!r} is reserved: keys under {api.PREFIX} mark mirrors"
            )


def with_digest(wanted: Object) -> Object:
    """The wanted object with the digest of itself among its annotations."""
    metadata = wanted["metadata"]
    marked = metadata["annotations"] | {api.DIGEST_ANNOTATION: digest(wanted)}
    return wanted | {"metadata": metadata | {"annotations": marked}}


def tenant_metadata(source: Object) -> Object:
    """The metadata of a super object as a tenant sees it, marked with the UID of its source.

    Keys under our prefix are the super cluster's own business and stay there.
    """
    metadata = source["metadata"]
    labels, annotations = (
        {
            key: value
            for key, value in (metadata.get(field) or {}).items()
            if not key.startswith(api.PREFIX)
        }
        for field in ("labels", "annotations")
    )
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {
        "name": metadata["name"],
        "labels": labels,
        "annotations": annotations
        | remembered_keys(labels, annotations)
        | {api.UID_ANNOTATION: metadata["uid"]},
    }


def remembered_keys(labels: Iterable[str], annotations: Iterable[str]) -> dict[str, str]:
    """The annotations by which ``metadata_patch`` knows later what came from the source."""
    keys = {"labels": " ".join(sorted(labels)), "annotations": " ".join(sorted(annotations))}
    return {KEYS_ANNOTATIONS[field]: value for field, value in keys.items() if value}


def is_marked(obj: Object) -> bool:
    """Whether a tenant's object is a mirror of ours; any other is the tenant's own."""
    return api.UID_ANNOTATION in (obj["metadata"].get("annotations") or {})


def body(source: Object) -> Object:
    """What an object says beside its type, metadata and status."""
    return {key: value for key, value in source.items() if key not in NOT_BODY}


NOT_BODY = frozenset(("apiVersion", "kind", "metadata", "status"))


def namespace_replaced(value: Any, tenant: Tenant, namespace: str) -> Any:
    """What the super cluster says, with the tenant's name of a namespace wherever it is named."""
    if isinstance(value, dict):
        return {key: namespace_replaced(item, tenant, namespace) for key, item in value.items()}
    if isinstance(value, list):
        return [namespace_replaced(item, tenant, namespace) for item in value]
    if isinstance(value, str):
        return value.replace(super_namespace(tenant.key, namespace), namespace)
    return value


def status_writes(mirror: Object, obj: Object, tenant: Tenant) -> list["Write"]:
    """The status that the super cluster gave a mirror, for the tenant's object; none yet: nothing."""
    given = namespace_replaced(mirror.get("status") or {}, tenant, obj["metadata"]["namespace"])
    status = merge_patch(obj.get("status") or {}, given)
    return [Write("status", {"status": status})] if given and status else []


def merge_patch(live: Any, wanted: Any) -> Any:
    """The JSON merge patch (RFC 7386) that turns ``live`` into ``wanted``; None: they are equal.

    Removes whatever is in ``live`` and not in ``wanted``; see ``metadata_patch`` for what others own.
    A null says the same as an absent key.
    """
    if live == wanted:
        return None
    if not (isinstance(live, dict) and isinstance(wanted, dict)):
        return wanted
    patch: Object = {
        key: None for key, value in live.items() if value is not None and wanted.get(key) is None
    }
    for key, value in wanted.items():
        if value is not None and (change := merge_patch(live.get(key), value)) is not None:
            patch[key] = change
    return patch or None


def object_patch(live: Object, wanted: Object) -> Object | None:
    """The JSON merge patch for an object of which all but the metadata and status is ours alone.

    None: nothing to do.
    """
    patch: Object = merge_patch(body(live), body(wanted)) or {}
    if metadata := metadata_patch(live, wanted):
        patch["metadata"] = metadata
    return patch or None


def patch_beside_spec(live: Object, wanted: Object) -> Object | None:
    """The JSON merge patch for an object whose spec says once for all how it came to be."""
    have, want = ({**body(obj), "spec": None} for obj in (live, wanted))
    change: Object = merge_patch(have, want) or {}
    if metadata := metadata_patch(live, wanted):
        change["metadata"] = metadata
    return change or None


def metadata_patch(live: Object, wanted: Object) -> Object:
    """Label and annotation changes towards ``wanted``; keys that others put on ``live`` stay.

    A key that the tenant has removed must go, and a key that a webhook of the super cluster has added
    must stay. The annotations of KEYS_ANNOTATIONS remember which keys came from the tenant.
    """
    patch: Object = {}
    for field in ("labels", "annotations"):
        have: Mapping[str, str] = live["metadata"].get(field) or {}
        want: Mapping[str, str] = wanted["metadata"].get(field) or {}
        remembered = (live["metadata"].get("annotations") or {}).get(KEYS_ANNOTATIONS[field], "")
        ours = remembered.split() + list(KEYS_ANNOTATIONS.values())
        gone = {key: None for key in ours if key in have and key not in want}
        changed = {key: value for key, value in want.items() if have.get(key) != value}
        if change := gone | changed:
            patch[field] = change
    return patch


KEYS_ANNOTATIONS = {
    "labels": f"{api.PREFIX}label-keys",
    "annotations": f"{api.PREFIX}annotation-keys",
    "taints": f"{api.PREFIX}taint-keys",
    "resources": f"{api.PREFIX}resource-keys",
}
"""Which label and annotation keys of a mirror came from its source: white-space separated.

On virtual nodes also which taints, as ``key:effect`` (``node_taints.given_by``), and which extended
resources (``node_resources.given_resources``)."""

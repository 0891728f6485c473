"""What is mirrored beyond the standard set, as in ``status.effective.sync`` of a VirtualCluster.

The defaults are safe: nothing. Why it looks as it does: docs/decisions/0011.
"""

from typing import Literal

import msgspec

SNAPSHOT_GROUP = "snapshot.storage.k8s.io"


class FieldReference(msgspec.Struct, frozen=True):
    """Where an object names another one."""

    path: str
    """Names of fields, joined by dots; ``[]`` after a list: ``spec.volumes[].secret.name``."""
    kind: Literal["ConfigMap", "Secret", "Namespace"]
    """Config maps and secrets go down while they are named; a namespace is translated."""


class CustomResource(msgspec.Struct, frozen=True):
    """A type of the super cluster that tenants get as well."""

    group: str
    version: str
    plural: str
    kind: str
    direction: Literal["down", "up"] = "down"
    """``down``: namespaced objects of the tenant's; ``up``: cluster-scoped public ones of the provider's."""
    references: tuple[FieldReference, ...] = ()

    @property
    def name(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"


class Sync(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a tenant may have mirrored."""

    ingresses: bool = False
    ingress_classes: tuple[str, ...] = ()
    """Of the public ingress classes those that may be used; empty: all of them."""
    ingress_annotations: tuple[str, ...] = ()
    """Annotations of ingresses that may reach their controller: whole keys, or ``prefix/*``."""
    volume_snapshots: bool = False
    resource_claims: bool = False
    opaque_configuration_drivers: tuple[str, ...] = ()
    """Drivers of devices that claims may give parameters of their own."""
    custom_resources: tuple[CustomResource, ...] = ()

    @property
    def shown_upward(self) -> frozenset[str]:
        """The names of the definitions whose objects, cluster-scoped, are the provider's."""
        own = {one.name for one in self.custom_resources if one.direction == "up"}
        return frozenset(own | {f"volumesnapshotclasses.{SNAPSHOT_GROUP}"})

    @property
    def definitions(self) -> dict[str, str]:
        """The names of the CustomResourceDefinitions that the tenant gets, and the version served."""
        wanted = {resource.name: resource.version for resource in self.custom_resources}
        if self.volume_snapshots:
            for plural in ("volumesnapshots", "volumesnapshotclasses"):
                wanted[f"{plural}.{SNAPSHOT_GROUP}"] = "v1"
        return wanted

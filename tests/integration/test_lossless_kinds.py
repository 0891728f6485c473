"""Every field of every kind arrives on the other side, or is listed here with the reason.

Services and pods, whose lists are longer, have files of their own.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from kube.objects import Object
from syncer.kinds import (
    classes,
    configuration,
    devices,
    endpoint_slice,
    event,
    ingress,
    ingress_class,
    namespace,
    network_policy,
    node,
    persistent_volume,
    persistent_volume_claim,
    pod_disruption_budget,
    resource_claim,
)
from syncer.kinds.mirror import DownwardKind, UpwardKind
from tests.integration.documents import schemas
from tests.integration.super_cluster import SuperCluster
from tests.openapi import OMIT, leaves
from vcluster import api
from vcluster.api import Tenant

pytestmark = pytest.mark.integration

LOSSLESS = Tenant(
    key="lossless-0a1b2c3d", name="lossless", namespace="tenants", uid="u", service_cidr=""
)
# The type is written anew, the metadata has its own rules, the status goes the other way.
ELSEWHERE = ("apiVersion", "kind", "metadata", "status")

OF_OBJECTS = ("fieldPath", "resourceVersion", "uid")
A_CLAIM_BESIDE = {"kind": "PersistentVolumeClaim", "name": "other"}
HIDDEN_OF_VOLUMES = frozenset(
    {f"spec.claimRef.{name}" for name in (*OF_OBJECTS, "name", "namespace")}
    | {f"spec.storageos.secretRef.{name}" for name in (*OF_OBJECTS, "apiVersion", "kind")}
    | {
        f"spec.{source}.{name}"
        for source in (
            "cephfs.secretRef",
            "cinder.secretRef",
            "csi.controllerExpandSecretRef",
            "csi.controllerPublishSecretRef",
            "csi.nodeExpandSecretRef",
            "csi.nodePublishSecretRef",
            "csi.nodeStageSecretRef",
            "flexVolume.secretRef",
            "iscsi.secretRef",
            "rbd.secretRef",
            "scaleIO.secretRef",
            "storageos.secretRef",
        )
        for name in ("name", "namespace")
    }
    | {
        "spec.azureFile.secretName",
        "spec.azureFile.secretNamespace",
        "spec.cephfs.secretFile",
        "spec.cephfs.user",
        "spec.csi.volumeAttributes.key",
        "spec.flexVolume.options.key",
        "spec.iscsi.chapAuthDiscovery",
        "spec.iscsi.chapAuthSession",
        "spec.quobyte.user",
        "spec.rbd.keyring",
        "spec.rbd.user",
        "status.message",
    }
)


@dataclass(frozen=True)
class Case:
    """A kind, its schema, and the fields that do not arrive as they were."""

    kind: DownwardKind | UpwardKind
    document: str
    schema: str
    translated: frozenset[str] = frozenset()
    overrides: dict[str, Any] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ELSEWHERE


DOWN = [
    # The finalizers of a namespace belong to each side's own namespace controller.
    Case(
        namespace.NAMESPACE,
        "api/v1",
        "io.k8s.api.core.v1.Namespace",
        frozenset({"spec.finalizers[0]"}),
    ),
    # stringData is write-only; an object that an API server returns has none.
    Case(configuration.CONFIG_MAP, "api/v1", "io.k8s.api.core.v1.ConfigMap"),
    Case(configuration.SECRET, "api/v1", "io.k8s.api.core.v1.Secret"),
    # References name the object below: another namespace, no UID, no version.
    Case(
        endpoint_slice.endpoint_slice_kind(),
        "apis/discovery.k8s.io/v1",
        "io.k8s.api.discovery.v1.EndpointSlice",
        frozenset(
            f"endpoints[0].targetRef.{name}" for name in ("namespace", "resourceVersion", "uid")
        ),
        {"endpoints[].addresses[]": "203.0.113.7"},
    ),
    # Sources and classes that are not offered are refused, and have tests of their own.
    Case(
        persistent_volume_claim.PERSISTENT_VOLUME_CLAIM,
        "api/v1",
        "io.k8s.api.core.v1.PersistentVolumeClaim",
        overrides={
            "spec.dataSource": A_CLAIM_BESIDE,
            "spec.dataSourceRef": A_CLAIM_BESIDE,
            "spec.volumeAttributesClassName": OMIT,
        },
    ),
    # Selectors of namespaces are confined to the tenant, by the keys that its labels have below.
    Case(
        network_policy.network_policy_kind(),
        "apis/networking.k8s.io/v1",
        "io.k8s.api.networking.v1.NetworkPolicy",
        frozenset(
            f"spec.{peers}[0].namespaceSelector.{path}"
            for peers in ("ingress[0].from", "egress[0].to")
            for path in (
                f"matchLabels.{api.TENANT_LABEL}",
                "matchLabels.key",
                f"matchLabels.{namespace.key_below('key')}",
                "matchExpressions[0].key",
            )
        ),
        {
            f"spec.{peers}.ipBlock.cidr": "203.0.113.0/24"
            for peers in ("ingress[].from[]", "egress[].to[]")
        },
    ),
    # A number passes; a share would be counted by the tenant's own controller.
    Case(
        pod_disruption_budget.POD_DISRUPTION_BUDGET,
        "apis/policy/v1",
        "io.k8s.api.policy.v1.PodDisruptionBudget",
    ),
    # What would serve any host is refused.
    Case(
        ingress.INGRESS,
        "apis/networking.k8s.io/v1",
        "io.k8s.api.networking.v1.Ingress",
        overrides={"spec.defaultBackend": OMIT, "metadata.annotations": OMIT},
    ),
    # Access to devices of others is refused, and so are the parameters of drivers that nobody allowed.
    Case(
        resource_claim.RESOURCE_CLAIM,
        "apis/resource.k8s.io/v1",
        "io.k8s.api.resource.v1.ResourceClaim",
        overrides={
            "spec.devices.requests[].exactly.adminAccess": OMIT,
            "spec.devices.config": OMIT,
        },
    ),
]
UP = [
    # What tells of other tenants is not shown; a heartbeat is the last transition.
    Case(
        node.node_kind(api.NODE_AGENT_PORT),
        "api/v1",
        "io.k8s.api.core.v1.Node",
        frozenset(
            {
                "status.conditions[0].lastHeartbeatTime",
                "status.daemonEndpoints.kubeletEndpoint.Port",  # the node agent's
            }
        ),
        {
            "status.conditions[].lastHeartbeatTime": "2026-01-01T00:00:09Z",
            "status.images": [],
            "status.volumesInUse": [],
            "status.volumesAttached": [],
            "status.config": {},
        },
        elsewhere=(
            "apiVersion",
            "kind",
            "metadata",
            "status.images",
            "status.volumesInUse",
            "status.volumesAttached",
            "status.config",
        ),
    ),
    Case(classes.STORAGE_CLASS, "apis/storage.k8s.io/v1", "io.k8s.api.storage.v1.StorageClass"),
    # A second global default would be refused.
    Case(
        classes.PRIORITY_CLASS,
        "apis/scheduling.k8s.io/v1",
        "io.k8s.api.scheduling.v1.PriorityClass",
        frozenset({"globalDefault"}),
    ),
    Case(classes.RUNTIME_CLASS, "apis/node.k8s.io/v1", "io.k8s.api.node.v1.RuntimeClass"),
    # The parameters name an object of the provider's.
    Case(
        ingress_class.INGRESS_CLASS,
        "apis/networking.k8s.io/v1",
        "io.k8s.api.networking.v1.IngressClass",
        frozenset(
            f"spec.parameters.{name}" for name in ("apiGroup", "kind", "name", "namespace", "scope")
        ),
    ),
    # The parameters of drivers are the provider's own business.
    Case(
        devices.DEVICE_CLASS,
        "apis/resource.k8s.io/v1",
        "io.k8s.api.resource.v1.DeviceClass",
        frozenset({"spec.config[0].opaque.driver", "spec.config[0].opaque.parameters.any"}),
    ),
    Case(
        devices.RESOURCE_SLICE,
        "apis/resource.k8s.io/v1",
        "io.k8s.api.resource.v1.ResourceSlice",
    ),
    # Whose claim it is says the link. Secrets, and what they open, stay with the provider.
    Case(
        persistent_volume.PERSISTENT_VOLUME,
        "api/v1",
        "io.k8s.api.core.v1.PersistentVolume",
        HIDDEN_OF_VOLUMES,
        elsewhere=("apiVersion", "kind", "metadata"),
    ),
]


def a_source(super_cluster: SuperCluster, case: Case) -> Object:
    source: Object = schemas(super_cluster, case.document).example(case.schema, case.overrides)
    source["metadata"]["labels"] = {api.PUBLIC_LABEL: "true"} if case in UP else {"app": "shop"}
    return source


def differing(source: Object, arrived: Object, elsewhere: tuple[str, ...]) -> set[str]:
    sent, received = dict(leaves(source)), dict(leaves(arrived))
    return {
        path
        for path in sent.keys() | received.keys()
        if sent.get(path) != received.get(path)
        and not path.startswith(tuple(f"{name}." for name in elsewhere))
        and path not in elsewhere
    }


def name_of(case: Case) -> str:
    return case.kind.resource.kind


@pytest.mark.parametrize("case", DOWN, ids=name_of)
def test_every_field_goes_down_or_is_listed(super_cluster: SuperCluster, case: Case) -> None:
    assert isinstance(case.kind, DownwardKind)
    source = a_source(super_cluster, case)
    wanted = case.kind.to_super(source, LOSSLESS)
    assert wanted is not None
    assert differing(source, wanted, case.elsewhere) == case.translated


@pytest.mark.parametrize("case", UP, ids=name_of)
def test_every_field_goes_up_or_is_listed(super_cluster: SuperCluster, case: Case) -> None:
    assert isinstance(case.kind, UpwardKind)
    source = a_source(super_cluster, case)
    shown = case.kind.to_tenant(source, LOSSLESS)
    assert shown is not None
    assert differing(source, shown, case.elsewhere) == case.translated


def test_every_field_of_an_event_goes_up_or_is_listed(super_cluster: SuperCluster) -> None:
    below = api.super_namespace(LOSSLESS.key, "web")
    source = schemas(super_cluster, "api/v1").example(
        "io.k8s.api.core.v1.Event", {"involvedObject.namespace": below, "related.namespace": below}
    )
    shown = event.to_tenant(source, "web", "uid-above", LOSSLESS.key)
    assert differing(source, shown, ELSEWHERE) == {
        "involvedObject.namespace",
        "involvedObject.resourceVersion",
        "involvedObject.uid",
        "related.namespace",
        "related.resourceVersion",
        "related.uid",
    }

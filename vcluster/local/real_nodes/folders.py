"""Which claims get a folder of this machine as their volume, and which folders may go. Pure: no I/O.

The rules are those of the controllers that serve a class by a program outside Kubernetes
(sigs.k8s.io/sig-storage-lib-external-provisioner): the volume controller of the super cluster says
whom a claim waits for, we make the volume, it binds the two, and leaves us what is released.
"""

from hashlib import sha256
from pathlib import Path

from kube.objects import Object
from kube.resources import EVENTS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from vcluster import api
from vcluster.local.real_nodes.site import LABEL

CLASS = "standard"
PROVISIONER = "local.virtualcluster.dev/folder"
"""How a StorageClass names us; the provider may make further classes that do."""

WAITS_FOR = (
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

NOT_SERVED = ("selector", "dataSource", "dataSourceRef", "volumeAttributesClassName")
"""What a claim may ask of a new volume, and a folder cannot give."""


def storage_class() -> Object:
    """The class of `vc up --real-nodes`: the default, and public to tenants.

    Every node sees the same folders, so no volume waits to learn where its first pod runs.
    """
    return {
        "apiVersion": STORAGE_CLASSES.api_version,
        "kind": STORAGE_CLASSES.kind,
        "metadata": {
            "name": CLASS,
            "labels": {api.PUBLIC_LABEL: "true"},
            "annotations": {DEFAULT_CLASS: "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def waits_for_us(claim: Object) -> bool:
    """The volume controller has said that this claim is to get its volume from us."""
    metadata = claim["metadata"]
    annotations = metadata.get("annotations") or {}
    bound = claim["spec"].get("volumeName") or metadata.get("deletionTimestamp")
    return not bound and any(annotations.get(key) == PROVISIONER for key in WAITS_FOR)


def volume_name(claim: Object) -> str:
    """The name of a claim's volume, and of its folder; the same at each attempt."""
    return f"pvc-{claim['metadata']['uid']}"


def problem(claim: Object, storage: Object) -> str:
    """Why this claim of this class cannot be served; empty if it can."""
    spec = claim["spec"]
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        return f"spec.volumeMode {spec['volumeMode']!r} is not served: a folder is no block device"
    if asked := [field for field in NOT_SERVED if spec.get(field)]:
        return f"spec.{asked[0]} is not served: every volume is a new, empty folder"
    if unknown := [field for field in ("parameters", "allowedTopologies") if storage.get(field)]:
        return f"{unknown[0]} of StorageClass {storage['metadata']['name']} must be empty: there are none"
    return ""


def volume(claim: Object, storage: Object, folder: Path) -> Object:
    """The volume for a claim: a folder that every real node has, and no other node."""
    metadata, spec = claim["metadata"], claim["spec"]
    of_real_nodes = {"key": LABEL, "operator": "In", "values": ["true"]}
    options = storage.get("mountOptions")
    return {
        "apiVersion": PERSISTENT_VOLUMES.api_version,
        "kind": PERSISTENT_VOLUMES.kind,
        "metadata": {
            "name": volume_name(claim),
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "storageClassName": storage["metadata"]["name"],
            "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "local": {"path": str(folder / volume_name(claim))},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [of_real_nodes]}]}
            },
            **({"mountOptions": options} if options else {}),
        },
    }


def is_released(found: Object) -> bool:
    """A volume of ours whose claim is gone, and whose data is to go."""
    annotations = found["metadata"].get("annotations") or {}
    return (
        annotations.get(PROVISIONED_BY) == PROVISIONER
        and found["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and found.get("status", {}).get("phase") == "Released"
    )


def failed_event(claim: Object, said: str, moment: str) -> Object:
    """The Event that tells why there is no volume, one for each reason; ``moment`` as in RFC 3339."""
    metadata = claim["metadata"]
    digest = sha256(f"{metadata['uid']} {said}".encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"namespace": metadata["namespace"], "name": f"{metadata['name']}.{digest}"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": "Warning",
        "reason": "ProvisioningFailed",
        "message": said,
        "source": {"component": PROVISIONER},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }

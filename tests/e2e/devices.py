"""What there is to claim, and the claims: devices of a driver that nobody runs."""

from typing import Any

from tests.e2e.local_system import Object
from tests.e2e.objects import pod

GROUP = "resource.k8s.io/v1"
DRIVER = "gpu.e2e.example.com"
NODE = "gpu-0"
CLASS: Object = {
    "apiVersion": "virtualcluster.dev/v1alpha1",
    "kind": "VirtualClusterClass",
    "metadata": {"name": "devices"},
    "spec": {"sync": {"resourceClaims": True}},
}
CLAIMS = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
DEVICES = 4
LARGE = "40Gi"
"""The memory of the last device of a node; the others have a tenth of it."""
RESOURCE = "e2e.example.com/gpu"
"""What pods may ask for to get a device of the class ``gpu``."""
COUNTED = "gpu.deviceclass.resource.k8s.io/devices"


def device_class(name: str, resource: str = "", **labels: str) -> Object:
    """A class of all devices of the driver."""
    named = {"extendedResourceName": resource} if resource else {}
    selectors = [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]
    return {
        "apiVersion": GROUP,
        "kind": "DeviceClass",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selectors": selectors} | named,
    }


def resource_slice(node: str) -> Object:
    """What a driver on the node would publish."""
    return {
        "apiVersion": GROUP,
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{DRIVER}"},
        "spec": {
            "driver": DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [
                {
                    "name": f"device-{number}",
                    "capacity": {"memory": {"value": LARGE if number == DEVICES - 1 else "4Gi"}},
                }
                for number in range(DEVICES)
            ],
        },
    }


def asking(device_class_name: str = "gpu", **fields: Any) -> Object:
    """The spec of a claim for one device."""
    exactly = {"deviceClassName": device_class_name} | fields
    return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}


def claim(name: str, spec: Object | None = None) -> Object:
    return {
        "apiVersion": GROUP,
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": spec or asking(),
    }


TEMPLATE: Object = {
    "apiVersion": GROUP,
    "kind": "ResourceClaimTemplate",
    "metadata": {"name": "one-gpu"},
    "spec": {"spec": asking()},
}


def claiming(name: str, claim_name: str) -> Object:
    """A pod of a claim that is there by itself."""
    return pod(name, resourceClaims=[{"name": "gpu", "resourceClaimName": claim_name}])


def container() -> Object:
    return {"name": "main", "image": "demo", "resources": {"claims": [{"name": "gpu"}]}}

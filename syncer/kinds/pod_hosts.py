"""A super pod whose ``/etc/hosts`` says the tenant's full name of it.

The kubelet writes that file of the super namespace's name, into every container that mounts nothing
there itself. So an init container of ours copies its own, with the name corrected, to where all others
have theirs from (docs/decisions/0019).
"""

import posixpath
from collections.abc import Iterator

from kube.objects import Object
from kube.quantities import nanos
from syncer.kinds.pod import CLUSTER_DOMAIN
from vcluster.hosts_file import NAME, PATH

DIRECTORY = "/virtualcluster"
FILE = "hosts"
LARGEST_FILE = "2Mi"
"""Host aliases are in it: as long as an object may be, and a little more."""
MOST: Object = {"cpu": "100m", "memory": "32Mi"}
"""What it may use, if the pod's containers have that much. With 10m it takes seconds."""

# Only before the host aliases, which are the tenant's own words. The names come as arguments: $1 is the
# super namespace, $2 what follows the subdomain in the tenant. Whatever user a container runs as reads it.
SCRIPT = (
    f'sed "1,/HostAliases/s/[.]$1[.]svc[.][^[:space:]]*/.$2/" {PATH} > {DIRECTORY}/{FILE}'
    f" && chmod 0644 {DIRECTORY}/{FILE}"
)


def with_own_hosts(super_pod: Object, namespace: str, image: str) -> Object:
    """The super pod with the init container and its file, if it needs them and there is an image.

    ``namespace`` is the tenant's. Comes after policy and quota: what is ours is not the tenant's to
    answer for.
    """
    spec: Object = super_pod["spec"]
    if not image or not _says_a_full_name(spec):
        return super_pod
    super_namespace: str = super_pod["metadata"]["namespace"]
    wanted = dict(spec)
    for kind in ("initContainers", "containers"):
        wanted[kind] = [_mounted(item) for item in spec.get(kind) or ()]
    names = [super_namespace, f"{namespace}.svc.{CLUSTER_DOMAIN}"]
    wanted["initContainers"].insert(0, _init_container(image, names, _resources(spec)))
    # In memory: writing more than that is refused, and evicts nobody.
    empty = {"medium": "Memory", "sizeLimit": LARGEST_FILE}
    wanted["volumes"] = [*(spec.get("volumes") or ()), {"name": NAME, "emptyDir": empty}]
    return super_pod | {"spec": wanted}


def _says_a_full_name(spec: Object) -> bool:
    """The kubelet would write a name with a namespace into the file."""
    windows = "windows" in (
        (spec.get("os") or {}).get("name"),
        (spec.get("nodeSelector") or {}).get("kubernetes.io/os"),
    )
    # With hostnameOverride it writes just that; with the host's network it takes the host's file.
    other = spec.get("hostnameOverride") or spec.get("hostNetwork") or windows
    return bool(spec.get("subdomain")) and not other


def _mounted(container: Object) -> Object:
    if PATH in map(posixpath.normpath, _mount_paths(container)):
        return container
    mount = {"name": NAME, "mountPath": PATH, "subPath": FILE}
    return container | {"volumeMounts": [*(container.get("volumeMounts") or ()), mount]}


def _mount_paths(container: Object) -> Iterator[str]:
    for mount in container.get("volumeMounts") or ():
        yield mount["mountPath"]
    for device in container.get("volumeDevices") or ():
        yield device["devicePath"]


def _init_container(image: str, names: list[str], resources: Object) -> Object:
    """As the Pod Security Standard ``restricted`` wants it, whatever the pod's own context says."""
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", SCRIPT, NAME, *names],
        "volumeMounts": [{"name": NAME, "mountPath": DIRECTORY}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": 65534,
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"resources": resources} if resources else {}),
    }


def _resources(spec: Object) -> Object:
    """Of CPU and memory what each container of the pod names, and never more than any of them does.

    So the pod's QoS class stays as it is, and so does what it asks for: an init container counts only
    where it exceeds what runs later. What a pod says as a whole decides both by itself.
    """
    if spec.get("resources"):
        return {}
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    found: Object = {}
    for field in ("limits", "requests"):
        named = [(item.get("resources") or {}).get(field) or {} for item in containers]
        for resource, most in MOST.items():
            if all(resource in amounts for amounts in named):
                least = min((amounts[resource] for amounts in named), key=nanos)
                found.setdefault(field, {})[resource] = min(least, most, key=nanos)
    return found

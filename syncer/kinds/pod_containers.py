"""The containers of a super pod: tenant values in the environment, and names that are ours."""

from kube.objects import Object
from syncer.kinds.mirror import Refused
from syncer.kinds.pod_downward_api import field_reference
from vcluster import api, hosts_file
from vcluster.api import Tenant


def container(item: Object, tenant: Tenant) -> Object:
    """A container, init container or ephemeral container as it goes down."""
    own = [_variable(variable) for variable in item.get("env") or ()]
    named = {variable["name"] for variable in own}
    injected = [
        {"name": name, "value": value}
        for name, value in kubernetes_environment(tenant).items()
        if name not in named
    ]
    wanted = item | {"env": [*injected, *own]}
    if "envFrom" in item:
        wanted["envFrom"] = [_source(source) for source in item["envFrom"]]
    return wanted


def kubernetes_environment(tenant: Tenant) -> dict[str, str]:
    """What the kubelet injects for ``default/kubernetes``; it would name the super cluster's."""
    host, tcp = tenant.kubernetes_address, f"tcp://{tenant.kubernetes_address}:443"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": tcp,
        "KUBERNETES_PORT_443_TCP": tcp,
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": host,
    }


def refuse_reserved_names(spec: Object) -> None:
    """Raise Refused for a container or volume that is called as ours, in pods that have ours or not."""
    for kind in ("initContainers", "containers", "ephemeralContainers", "volumes"):
        for item in spec.get(kind) or ():
            if item.get("name") == hosts_file.NAME:
                field, taken = f"spec.{kind}[].name", f"{hosts_file.NAME!r} is taken"
                message = f"{taken} in the cluster that runs the pod: choose another name"
                raise Refused(field, "ReservedName", message)


def config_map_name(name: str | None) -> str | None:
    """The super cluster publishes a ``kube-root-ca.crt`` of its own in every namespace."""
    return api.MIRRORED_ROOT_CA_CONFIG_MAP if name == api.ROOT_CA_CONFIG_MAP else name


def _variable(variable: Object) -> Object:
    source = variable.get("valueFrom")
    if not source:
        return variable
    if "fieldRef" in source:
        source = source | {"fieldRef": field_reference(source["fieldRef"])}
    if reference := source.get("configMapKeyRef"):
        renamed = reference | {"name": config_map_name(reference.get("name"))}
        source = source | {"configMapKeyRef": renamed}
    return variable | {"valueFrom": source}


def _source(source: Object) -> Object:
    if reference := source.get("configMapRef"):
        return source | {
            "configMapRef": reference | {"name": config_map_name(reference.get("name"))}
        }
    return source

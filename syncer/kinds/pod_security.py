"""The Pod Security Standards, as Kubernetes checks them (k8s.io/pod-security-admission, v1.37).

The super cluster's own admission enforces them as well, by the labels of the super namespaces. This
check comes before it: its sentences name the tenant's own fields, and it does not depend on how the
super cluster's admission is set up.
"""

from collections.abc import Iterator, Mapping

from kube.objects import Object
from syncer.kinds.mirror import Refused
from vcluster.pod_standards import (
    BASELINE_CAPABILITIES,
    PROFILES,
    RESTRICTED_CAPABILITIES,
    RESTRICTED_VOLUMES,
    SAFE_SYSCTLS,
    SELINUX_TYPES,
)

REASON = "PodSecurity"
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
APPARMOR_ANNOTATIONS = "container.apparmor.security.beta.kubernetes.io/"


def refusals(spec: Object, annotations: Mapping[str, str], level: str) -> Iterator[Refused]:
    """What the level forbids in a pod, or in the parts of one that ``spec`` holds."""
    if level == "privileged":
        return
    restricted = level == "restricted"
    for field, objection in _objections(spec, annotations, restricted):
        message = f"{objection} (Pod Security Standard {level!r})"
        yield Refused(field, REASON, message)


def containers(spec: Object) -> Iterator[tuple[str, Object]]:
    """Each container of a pod, with the path that names it."""
    for kind in CONTAINERS:
        for item in spec.get(kind) or ():
            yield f"spec.{kind}[{item['name']}]", item


Objections = Iterator[tuple[str, str]]
"""The path of a field, and what is wrong with its value."""


def _objections(spec: Object, annotations: Mapping[str, str], restricted: bool) -> Objections:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"spec.{field}", "true is not allowed"
    for volume in spec.get("volumes") or ():
        yield from _volume(volume, restricted)
    own: Object = spec.get("securityContext") or {}
    yield from _context("spec.securityContext", own)
    for sysctl in own.get("sysctls") or ():
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield "spec.securityContext.sysctls", f"{sysctl['name']!r} is not a safe sysctl"
    yield from _annotations(annotations)
    if restricted:
        yield from _user("spec.securityContext", own, spec)
    for path, item in containers(spec):
        context: Object = item.get("securityContext") or {}
        yield from _context(f"{path}.securityContext", context)
        yield from _container(path, item, context, spec)
        if restricted:
            yield from _restricted(f"{path}.securityContext", context, spec)


def _annotations(annotations: Mapping[str, str]) -> Objections:
    for key, value in annotations.items():
        allowed = value in ("", "runtime/default") or value.startswith("localhost/")
        if key.startswith(APPARMOR_ANNOTATIONS) and not allowed:
            yield f"metadata.annotations[{key}]", f"{value!r} is not allowed"


def _volume(volume: Object, restricted: bool) -> Objections:
    path = f"spec.volumes[{volume['name']}]"
    if volume.get("hostPath"):
        yield f"{path}.hostPath", "volumes of the node's own files are not allowed"
    elif restricted:
        for kind in volume.keys() - RESTRICTED_VOLUMES - {"name"}:
            yield f"{path}.{kind}", "volumes of this type are not allowed"


def _context(path: str, context: Object) -> Objections:
    """What pods and containers have in common."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess", "true is not allowed"
    options = context.get("seLinuxOptions") or {}
    if (kind := options.get("type", "")) not in SELINUX_TYPES:
        yield f"{path}.seLinuxOptions.type", f"{kind!r} is not allowed"
    for field in ("user", "role"):
        if options.get(field):
            yield f"{path}.seLinuxOptions.{field}", f"{options[field]!r} is not allowed"
    for field in ("seccompProfile", "appArmorProfile"):
        profile = context.get(field)
        if profile and profile.get("type") not in PROFILES:
            yield f"{path}.{field}.type", f"{profile.get('type')!r} is not allowed"


def _container(path: str, item: Object, context: Object, spec: Object) -> Objections:
    if context.get("privileged"):
        yield f"{path}.securityContext.privileged", "true is not allowed"
    for name in (context.get("capabilities") or {}).get("add") or ():
        if name not in BASELINE_CAPABILITIES:
            yield f"{path}.securityContext.capabilities.add", f"{name!r} is not allowed"
    mount = context.get("procMount") or "Default"
    if mount != "Default" and spec.get("hostUsers") is not False:
        yield f"{path}.securityContext.procMount", f"{mount!r} is not allowed"
    for port in item.get("ports") or ():
        if port.get("hostPort"):
            yield f"{path}.ports.hostPort", f"{port['hostPort']} is not allowed: use a Service"
    for field, handler in _handlers(item):
        for action in ("httpGet", "tcpSocket"):
            if host := (handler.get(action) or {}).get("host"):
                yield f"{path}.{field}.{action}.host", f"{host!r} is not allowed: leave it out"


def _handlers(item: Object) -> Iterator[tuple[str, Object]]:
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield field, item.get(field) or {}
    for field in ("postStart", "preStop"):
        yield f"lifecycle.{field}", (item.get("lifecycle") or {}).get(field) or {}


def _restricted(path: str, context: Object, spec: Object) -> Objections:
    """Beyond the baseline. A seccomp profile need not be named: we set it on the super pod."""
    of_pod: Object = spec.get("securityContext") or {}
    windows = (spec.get("os") or {}).get("name") == "windows"
    if not windows and context.get("allowPrivilegeEscalation") is not False:
        yield f"{path}.allowPrivilegeEscalation", "must be false"
    yield from _user(path, context, spec)
    said = context.get("runAsNonRoot"), of_pod.get("runAsNonRoot")
    if said == (None, None) and spec.get("hostUsers") is not False:
        yield f"{path}.runAsNonRoot", "must be true, here or in spec.securityContext"
    if (context.get("procMount") or "Default") != "Default":
        yield f"{path}.procMount", f"{context['procMount']!r} is not allowed"
    if windows:
        return
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{path}.capabilities.drop", "must name 'ALL'"
    for name in capabilities.get("add") or ():
        if name not in RESTRICTED_CAPABILITIES:
            yield f"{path}.capabilities.add", f"{name!r} is not allowed"


def _user(path: str, context: Object, spec: Object) -> Objections:
    """What pods and containers have in common, unless the pod has users of its own."""
    if spec.get("hostUsers") is False:
        return
    if context.get("runAsNonRoot") is False:
        yield f"{path}.runAsNonRoot", "must be true"
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser", "0 is not allowed"

"""Pods that a policy refuses, and pods that it does not: for the back wall and for the front door."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from vcluster.api import CONTROL_PLANE_TAINTS, Object


class Case(NamedTuple):
    """A pod, and the start of the sentence that refuses it; empty: it is admitted."""

    name: str
    refused: str
    spec: Object
    annotations: Mapping[str, str] = MappingProxyType({})

    def pod(self) -> Object:
        """The pod as a tenant writes it."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "annotations": dict(self.annotations)},
            "spec": {"containers": [{"name": "main", "image": "demo"}]} | self.spec,
        }


def a_container(**fields: Any) -> Object:
    """The spec of a pod with one container."""
    return {"containers": [{"name": "main", "image": "demo"} | fields]}


def secured(**context: Any) -> Object:
    """The spec of a pod whose container has this security context."""
    return a_container(securityContext=context)


def volumes(**source: Any) -> Object:
    """The spec of a pod with one volume."""
    return {"volumes": [{"name": "data"} | source]}


MAIN = "spec.containers[main]"
CONTEXT = f"{MAIN}.securityContext"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/main"
WEB = {"port": 80, "host": "192.0.2.1"}
NFS: Object = {"server": "192.0.2.1", "path": "/"}

BASELINE = (
    Case("plain", "", {}),
    Case("host-network", "spec.hostNetwork: true", {"hostNetwork": True}),
    Case("host-pid", "spec.hostPID: true", {"hostPID": True}),
    Case("host-ipc", "spec.hostIPC: true", {"hostIPC": True}),
    Case("host-path", "spec.volumes[data].hostPath", volumes(hostPath={"path": "/etc"})),
    Case(
        "host-port",
        f"{MAIN}.ports.hostPort",
        a_container(ports=[{"containerPort": 1, "hostPort": 1}]),
    ),
    Case("no-host-port", "", a_container(ports=[{"containerPort": 1}])),
    Case("privileged", f"{CONTEXT}.privileged: true", secured(privileged=True)),
    Case(
        "privileged-init",
        "spec.initContainers[first].securityContext.privileged: true",
        {
            "initContainers": [
                {"name": "first", "image": "demo", "securityContext": {"privileged": True}}
            ]
        },
    ),
    Case("capability", f"{CONTEXT}.capabilities.add", secured(capabilities={"add": ["NET_ADMIN"]})),
    Case("all-capabilities", f"{CONTEXT}.capabilities.add", secured(capabilities={"add": ["ALL"]})),
    Case("coredns", "", secured(capabilities={"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]})),
    Case(
        "sysctl",
        "spec.securityContext.sysctls",
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
    ),
    Case(
        "safe-sysctl",
        "",
        {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}},
    ),
    Case(
        "seccomp",
        "spec.securityContext.seccompProfile.type",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    ),
    Case(
        "seccomp-container",
        f"{CONTEXT}.seccompProfile.type",
        secured(seccompProfile={"type": "Unconfined"}),
    ),
    Case("seccomp-default", "", secured(seccompProfile={"type": "RuntimeDefault"})),
    Case(
        "apparmor",
        f"{CONTEXT}.appArmorProfile.type",
        secured(appArmorProfile={"type": "Unconfined"}),
    ),
    Case("apparmor-annotation", "metadata.annotations", {}, {APPARMOR: "unconfined"}),
    Case("selinux", f"{CONTEXT}.seLinuxOptions", secured(seLinuxOptions={"type": "spc_t"})),
    Case("selinux-user", f"{CONTEXT}.seLinuxOptions", secured(seLinuxOptions={"user": "root"})),
    Case("selinux-type", "", secured(seLinuxOptions={"type": "container_t"})),
    Case("proc-mount-own-users", "", {"hostUsers": False} | secured(procMount="Unmasked")),
    Case("probe", MAIN, a_container(livenessProbe={"httpGet": WEB})),
    Case("hook", MAIN, a_container(lifecycle={"preStop": {"httpGet": WEB}})),
    Case("own-probe", "", a_container(livenessProbe={"httpGet": {"port": 80}})),
    Case(
        "windows-host",
        "spec.hostNetwork",  # goes with it
        {
            "hostNetwork": True,
            "os": {"name": "windows"},
            "securityContext": {"windowsOptions": {"hostProcess": True}},
        },
    ),
)
"""What the Pod Security Standard ``baseline`` says of each."""

STORAGE = (
    Case("volume-nfs", "spec.volumes[data].nfs", volumes(nfs=NFS)),
    Case("volume-csi", "spec.volumes[data].csi", volumes(csi={"driver": "nfs.csi.k8s.io"})),
    Case(
        "volume-disk",
        "spec.volumes[data].awsElasticBlockStore",
        volumes(awsElasticBlockStore={"volumeID": "vol-0"}),
    ),
    Case("volume-of-node", "", volumes(emptyDir={})),
    Case("volume-projected", "", volumes(projected={"sources": []})),
)
"""What we forbid beside the standards: storage that a pod names itself."""

SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
}
RESTRICTED = (
    Case("restricted", "", secured(**SAFE)),
    Case(
        "escalating",
        f"{CONTEXT}.allowPrivilegeEscalation",
        secured(**SAFE | {"allowPrivilegeEscalation": True}),
    ),
    Case("keeping", f"{CONTEXT}.capabilities.drop", secured(**SAFE | {"capabilities": {}})),
    Case(
        "adding",
        f"{CONTEXT}.capabilities.add",
        secured(**SAFE | {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}),
    ),
    Case("maybe-root", f"{CONTEXT}.runAsNonRoot", secured(**SAFE | {"runAsNonRoot": None})),
    Case("root", f"{CONTEXT}.runAsUser", secured(**SAFE, runAsUser=0)),
    Case(
        "root-pod",
        "spec.securityContext.runAsNonRoot",
        {"securityContext": {"runAsNonRoot": False}} | secured(**SAFE),
    ),
    Case("nfs", "spec.volumes[data]", volumes(nfs={"server": "s", "path": "/"}) | secured(**SAFE)),
    Case("empty-dir", "", volumes(emptyDir={}) | secured(**SAFE)),
)
"""What ``restricted`` says beyond the baseline."""


def tolerating(**toleration: Any) -> Object:
    """The spec of a pod with one toleration."""
    return {"tolerations": [toleration]}


POLICY: Object = {
    "podSecurity": "baseline",
    "registries": ["docker.io/library", "ghcr.io/acme", "registry.example:5000"],
    "deniedTaints": [*CONTROL_PLANE_TAINTS, "example.com/provider"],
    "requests": {"required": ["cpu", "memory"], "defaults": {"cpu": "100m"}},
    "limits": {"required": ["memory"]},
    "activeDeadlineSeconds": 3600,
}
"""As in ``status.effective.policy``."""
SIZED = {"resources": {"requests": {"memory": "1Mi"}, "limits": {"memory": "1Mi"}}}


def sized(image: str = "demo", **spec: Any) -> Object:
    """The spec of a pod that says how much it needs."""
    return a_container(image=image, **SIZED) | spec


IMAGE = f"{MAIN}.image"
CONFIGURED = (
    Case("sized", "", sized()),
    Case(
        "no-limit",
        f"{MAIN}.resources.limits.memory",
        a_container(resources={"requests": {"memory": "1Mi"}}),
    ),
    Case("no-resources", f"{MAIN}.resources", {}),
    Case(
        "of-the-pod",
        "",
        {"resources": {"requests": {"memory": "1Mi", "cpu": "1"}, "limits": {"memory": "1Mi"}}},
    ),
    Case("tagged", "", sized("nginx:1.27")),
    Case("whole-name", "", sized("index.docker.io/library/nginx@sha256:" + "0" * 64)),
    Case("other-library", IMAGE, sized("bitnami/nginx")),
    Case("acme", "", sized("ghcr.io/acme/app:1")),
    Case("acme-alike", IMAGE, sized("ghcr.io/acme-alike/app:1")),
    Case("port", "", sized("registry.example:5000/app:1")),
    Case("other-port", IMAGE, sized("registry.example:5001/app:1")),
    Case("tag-like-registry", IMAGE, sized("evil.example/ghcr.io/acme/app")),
    Case("localhost", IMAGE, sized("localhost/app")),
    Case(
        "image-volume",
        "spec.volumes[data].image.reference",
        sized(**volumes(image={"reference": "quay.io/model:1", "pullPolicy": "Always"})),
    ),
    Case("everything", "spec.tolerations", sized(**tolerating(operator="Exists"))),
    Case(
        "control-plane",
        "spec.tolerations",
        sized(**tolerating(key=CONTROL_PLANE_TAINTS[0], operator="Exists")),
    ),
    Case(
        "provider",
        "spec.tolerations",
        sized(**tolerating(key="example.com/provider", value="x", effect="NoExecute")),
    ),
    Case("gpu", "", sized(**tolerating(key="nvidia.com/gpu", operator="Exists"))),
    Case("in-time", "", sized(activeDeadlineSeconds=3600)),
    Case("too-long", "spec.activeDeadlineSeconds", sized(activeDeadlineSeconds=3601)),
)
"""What ``POLICY`` says."""

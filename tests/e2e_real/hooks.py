"""A server of a tenant's own that its API server calls: webhooks and an extension API, in a pod."""

import base64
import platform
import shutil
from datetime import timedelta
from pathlib import Path

from tests.e2e.local_system import LocalSystem, Object
from tests.e2e_real.containers import PROBE_SECONDS, container_pod
from vcluster.local.real_nodes.image_archive import Image, write
from vcluster.pki.authority import CertificateAuthority, Subject, Usage, Validity, now

IMAGE = "localhost/hook:1"
PORT, EXTENSION_PORT = 8443, 9443
"""Open to all, and to the tenant's API server as an extension API's front proxy."""
START = (
    "cd /; listen=reuseaddr,fork,cert=/tls/tls.crt,key=/tls/tls.key; answer='/bin/sh /script/hook.sh'\n"
    f"socat OPENSSL-LISTEN:{EXTENSION_PORT},$listen,cafile=/tls/front-proxy-ca.crt,verify=1"
    ' EXEC:"$answer" &\n'
    f'exec socat OPENSSL-LISTEN:{PORT},$listen,verify=0 EXEC:"$answer"'
)
AUTHORITY = CertificateAuthority.create("hook", Validity.lasting(timedelta(1), now()))
BUNDLE = base64.b64encode(AUTHORITY.certificate).decode()


def load_image(local: LocalSystem, folder: Path) -> None:
    """Make the image of busybox and socat, and put it into the nodes."""
    programs = {name: Path(shutil.which(name) or "") for name in ("busybox", "socat")}
    image = Image(
        IMAGE, busybox=programs["busybox"], files=((programs["socat"], "/usr/bin/socat"),)
    )
    write(image, folder / "hook.tar", platform.machine())
    local.vc("images", "load", str(folder / "hook.tar"))


SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hook"},
    "spec": {
        "selector": {"app": "hook"},
        "ports": [
            {"name": "hook", "port": 443, "targetPort": PORT},
            {"name": "extension", "port": 444, "targetPort": EXTENSION_PORT},
        ],
    },
}


def server(address: str, front_proxy_authority: str) -> list[Object]:
    """The pod ``hook`` behind SERVICE, which has the address, with all that it needs."""
    validity = Validity.lasting(timedelta(1), now())
    hosts = ("hook.default.svc", address)
    pair = AUTHORITY.issue(Subject("hook"), Usage.SERVER, validity, hosts)
    script = (Path(__file__).parent / "hook.sh").read_text()
    secret = {
        "tls.crt": pair.certificate.decode(),
        "tls.key": pair.key.decode(),
        "front-proxy-ca.crt": front_proxy_authority,
    }
    return [
        _object("v1", "Secret", stringData=secret),
        _object("v1", "ConfigMap", data={"hook.sh": script}),
        _object("v1", "ServiceAccount"),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            rules=[{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}],
        ),
        _object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            roleRef={
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "hook"
            },
            subjects=[{"kind": "ServiceAccount", "name": "hook", "namespace": "default"}],
        ),
        _pod(),
    ]  # fmt: skip


def _pod() -> Object:
    pod = container_pod(
        "hook",
        START,
        "real-0",
        IMAGE,
        serviceAccountName="hook",
        terminationGracePeriodSeconds=0,
        volumes=[
            {"name": "tls", "secret": {"secretName": "hook"}},
            {"name": "script", "configMap": {"name": "hook"}},
        ],
    )
    pod["spec"]["containers"][0] |= {
        "env": [
            {"name": "NODE_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "volumeMounts": [
            {"name": "tls", "mountPath": "/tls"},
            {"name": "script", "mountPath": "/script"},
        ],
        "readinessProbe": {
            "tcpSocket": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": PROBE_SECONDS
        },
    }  # fmt: skip
    return pod


def _object(version: str, kind: str, **body: object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "hook"}, **body}


def webhook(kind: str, **client: object) -> Object:
    """A webhook that fails closed, for config maps with the label ``hook``; ``client``: its target."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "hook"},
        "webhooks": [
            {
                "name": "hook.example.com",
                "clientConfig": {"caBundle": BUNDLE} | client,
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["configmaps"],
                        "operations": ["CREATE"],
                    }
                ],
                "objectSelector": {"matchExpressions": [{"key": "hook", "operator": "Exists"}]},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
            }
        ],
    }

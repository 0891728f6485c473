"""Her API server runs beside etcd and the API servers of others: it shall connect to none of them for her.

Whatever names an address: webhooks, extension APIs, Services, nodes, pods. What her API server itself
refuses is as good; what it tries, the egress proxy refuses.
"""

import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod, service
from tests.hostile.bystander import created, patched, phase_is
from tests.hostile.test_addresses import an_endpoint_slice
from vcluster.local.state import State

Target = tuple[str, int]
REFUSED = "code 403: 403 "
EMPTY = "code 502: 502 the service has no endpoint that is ready"
"""Nobody was tried: of her endpoints none has come down."""


@pytest.fixture(scope="module")
def trap() -> Iterator[int]:
    """A port of this machine, at all its addresses, that nobody may be led to."""
    caught: list[object] = []
    with socket.create_server(("0.0.0.0", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                connection.close()
                caught.append(address)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert not caught, f"connections came from {caught}"


@pytest.fixture(scope="module")
def targets(local: LocalSystem, alice: TenantCluster, trap: int) -> dict[str, Target]:
    """What she would like to be connected to, by name."""
    ports = State(local.state_directory).ports
    return {
        "super": ("127.0.0.1", ports["kube-apiserver"]),
        "etcd": ("127.0.0.1", ports["etcd"]),
        "alice": ("127.0.0.1", server_port(alice)),
        "loopback": ("127.0.0.1", trap),
        "name": ("localhost", trap),
        "machine": (own_address(), trap),
        "metadata": ("169.254.169.254", 80),
        "service": ("10.96.0.1", 443),
        "world": ("192.0.2.1", 443),
    }


def server_port(cluster: Cluster) -> int:
    view = ("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    return urlsplit(cluster.kubectl(*view)).port or 0


def own_address() -> str:
    """This machine's address on its network; without one, another of its loopback addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


def dialing(target: Target) -> str:
    return f"while dialing {target[0]}:{target[1]}, {REFUSED}"


def hooks(clients: dict[str, Object]) -> Object:
    """A webhook for each client, asked about config maps with its name as label ``ask``."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "reach"},
        "webhooks": [
            {
                "name": f"{name}.example.com",
                "clientConfig": client,
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["configmaps"],
                        "operations": ["CREATE"],
                    }
                ],
                "objectSelector": {"matchLabels": {"ask": name}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
            }
            for name, client in clients.items()
        ],
    }


def asked(tenant: TenantCluster, *names: str) -> str:
    """The errors of all these webhooks."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"ask-{name}", "labels": {"ask": name}},
        }
        for name in names
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    return tenant.kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest, check=False)


def test_webhooks_by_url(
    local: LocalSystem, mallory: TenantCluster, targets: dict[str, Target]
) -> None:
    urls = {name: {"url": f"https://{host}:{port}/"} for name, (host, port) in targets.items()}
    mallory.apply(hooks(urls))
    wait_for("the webhooks are asked", lambda: REFUSED in asked(mallory, "super"))
    answer = asked(mallory, *targets)
    missing = [name for name, target in targets.items() if dialing(target) not in answer]
    assert not missing, answer
    mallory.kubectl("delete", "validatingwebhookconfiguration", "reach")


def test_webhooks_and_extension_apis_by_service(
    local: LocalSystem, mallory: TenantCluster, targets: dict[str, Target]
) -> None:
    """With an external name, with a cluster IP from a range that she gives herself, with endpoints of
    her own."""
    cidr = {"metadata": {"name": "loopback"}, "spec": {"cidrs": ["127.0.0.0/16"]}}
    mallory.apply({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", **cidr})
    _, trap = targets["loopback"]
    ports = [{"port": trap}]
    plain = {"selector": None, "ports": ports}
    mallory.apply(
        service("external", type="ExternalName", externalName="localhost", **plain),
        service("endpoints", **plain),
        # Else her API server says that there are none, without looking further.
        *(an_endpoint_slice(name, "10.96.0.1") for name in ("endpoints", "range")),
    )
    stolen = service("range", clusterIP="127.0.0.1", **plain)
    wait_for("her API server gives the address", partial(created, mallory, stolen))
    names = ("external", "range", "endpoints")
    services = {name: {"name": name, "namespace": "default", "port": trap} for name in names}
    mallory.apply(
        hooks({name: {"service": there} for name, there in services.items()}),
        *(an_extension(name, there) for name, there in services.items()),
    )
    # Of each Service and its endpoints her API server knows in a moment of its own.
    wait_for(
        "each webhook is asked, in vain",
        lambda: sum(asked(mallory, *names).count(end) for end in (REFUSED, EMPTY)) == len(names),
    )
    for name in names:
        told = wait_for("it was tried", partial(unavailable, mallory, f"v1.{name}.example.com"))
        assert REFUSED in told or EMPTY in told, told
    mallory.kubectl("delete", "apiservice", *(f"v1.{name}.example.com" for name in names))
    mallory.kubectl("delete", "validatingwebhookconfiguration", "reach")
    mallory.kubectl("delete", "service,endpointslice", *names, "--ignore-not-found")
    mallory.kubectl("delete", "servicecidr", "loopback", "--wait=false")


def an_extension(name: str, there: Object) -> Object:
    """An extension API that proves nothing about itself."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1.{name}.example.com"},
        "spec": {
            "group": f"{name}.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": there,
        },
    }


def unavailable(tenant: TenantCluster, name: str) -> str | None:
    """Why the extension API is not available, once it was connected to."""
    found = tenant.get("apiservice", name) or {}
    conditions = found.get("status", {}).get("conditions") or []
    messages = [str(c.get("message")) for c in conditions if c["status"] == "False"]
    return next((message for message in messages if "dialing" in message), None)


def test_nodes_that_she_invents(
    local: LocalSystem, mallory: TenantCluster, targets: dict[str, Target]
) -> None:
    """Her API server refuses loopback and link-local addresses by itself, but to fetch logs from."""
    tried = 0
    names = ("super", "etcd", "loopback", "machine", "metadata")
    for name in names:
        host, port = targets[name]
        mallory.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"node-{name}"},
                "status": {
                    "addresses": [{"type": "InternalIP", "address": host}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
                },
            },
            pod(f"on-{name}", nodeName=f"node-{name}"),
        )
        told = mallory.kubectl("logs", f"on-{name}", check=False)
        assert REFUSED in told or "NotFound" in told or "not found" in told, told
        for path in (f"node-{name}", f"https:node-{name}:{port}", f"http:node-{name}:{port + 1}"):
            told = mallory.kubectl("get", "--raw", f"/api/v1/nodes/{path}/proxy/", check=False)
            assert REFUSED in told or "not allowed" in told or "NotFound" in told, told
            tried += REFUSED in told
    assert tried, "the syncer takes such nodes away, but not at once"
    mallory.kubectl("delete", "pod", *(f"on-{name}" for name in names), "--wait=false")
    mallory.kubectl("delete", "node", *(f"node-{name}" for name in names), "--ignore-not-found")


def test_pods_with_an_address_of_her_choice(
    local: LocalSystem, mallory: TenantCluster, targets: dict[str, Target]
) -> None:
    mallory.apply(pod("forged"), service("forged", selector=None, ports=[{"port": 80}]))
    wait_for("it runs", partial(phase_is, mallory, "forged", "Running"))
    for host, port in targets.values():
        if host == "localhost":
            continue  # no address
        for scheme in ("http", "https"):
            path = f"/api/v1/namespaces/default/pods/{scheme}:forged:{port}/proxy/"
            told = wait_for("an answer", partial(led_to, mallory, host, path))
            assert REFUSED in told or "not allowed" in told, told
    mallory.kubectl("delete", "pod,service", "forged", "--wait=false")


def led_to(mallory: TenantCluster, host: str, path: str) -> str | None:
    """What is said at the path while her pod has the address; None if the syncer has put its own back."""
    status = {"status": {"podIP": host, "podIPs": [{"ip": host}]}}
    mallory.kubectl("patch", "pod", "forged", "--subresource=status", *patched(status))
    told = mallory.kubectl("get", "--raw", path, check=False)
    kept = (mallory.get("pod", "forged") or {})["status"].get("podIP") == host
    return told if kept else None

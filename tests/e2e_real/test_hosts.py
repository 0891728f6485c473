"""/etc/hosts of pods with a subdomain: the tenant's name of the pod, without a trace of how it came there."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e_real.containers import container_pod, is_ready
from vcluster.hosts_file import NAME
from vcluster.local.real_nodes.images import BUSYBOX, TOOLBOX

SLEEP = "exec sleep 100000"
OWN_FILE = "127.0.0.1 localhost of-its-own\n"
DOMAIN = "nowhere.default.svc.cluster.local"
"""No Service is called nowhere: DNS does not know these names."""
ALIASES = [{"ip": "192.0.2.7", "hostnames": ["alias.example.com"]}]
LIMITS = {"limits": {"cpu": "200m", "memory": "64Mi"}}
CONTEXT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
NOBODY = {"runAsNonRoot": True, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"}}


def in_nowhere(name: str, main: Object | None = None, **spec: Any) -> Object:
    given: dict[str, Any] = {"terminationGracePeriodSeconds": 0, "subdomain": "nowhere"}
    wanted = container_pod(name, SLEEP, **(given | spec))
    wanted["spec"]["containers"][0] |= main or {}
    return wanted


def pods() -> list[Object]:
    first = {"name": "first", "image": BUSYBOX, "command": ["hostname", "-f"]}
    mount = {"name": "own", "mountPath": "/etc/hosts", "subPath": "hosts"}
    volume = {"name": "own", "configMap": {"name": "own-hosts"}}
    return [
        in_nowhere("simple", hostname="by-name", hostAliases=ALIASES),
        in_nowhere("prepared", initContainers=[first]),
        in_nowhere("strict", {"securityContext": CONTEXT}, securityContext=NOBODY),
        in_nowhere("sure", {"resources": LIMITS}),
        in_nowhere("own", {"volumeMounts": [mount]}, volumes=[volume]),
    ]


@pytest.fixture(scope="module")
def ring(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a with pods that have a subdomain, and no Service for it."""
    own: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own-hosts"}}
    wanted = pods()
    team_a.apply(own | {"data": {"hosts": OWN_FILE}}, *wanted)
    names = [pod["metadata"]["name"] for pod in wanted]
    for name in names:
        wait_for(f"{name} is ready", partial(is_ready, team_a, name))
    yield team_a
    team_a.kubectl("delete", "pod", *names, "--wait=false", "--ignore-not-found")
    team_a.kubectl("delete", "configmap", "own-hosts")


def says(tenant: TenantCluster, pod: str, *command: str) -> str:
    return tenant.kubectl("exec", pod, "-c", "main", "--", *command)


@pytest.mark.parametrize(
    ("pod", "hostname"),
    [("simple", "by-name"), ("prepared", "prepared"), ("strict", "strict"), ("sure", "sure")],
)
def test_a_pod_knows_its_full_name_in_the_tenant(
    ring: TenantCluster, pod: str, hostname: str
) -> None:
    found = ring.get("pod", pod)
    assert found is not None
    address = found["status"]["podIP"]
    assert says(ring, pod, "hostname").strip() == hostname
    assert says(ring, pod, "hostname", "-f").strip() == f"{hostname}.{DOMAIN}"
    assert says(ring, pod, "hostname", "-i").strip() == address
    text = says(ring, pod, "cat", "/etc/hosts")
    assert [address, f"{hostname}.{DOMAIN}", hostname] in [
        line.split() for line in text.split("\n")
    ]
    assert ring.key not in text


def test_host_aliases_and_the_tenants_init_containers_see_the_same_file(
    ring: TenantCluster,
) -> None:
    assert "192.0.2.7\talias.example.com" in says(ring, "simple", "cat", "/etc/hosts")
    assert ring.kubectl("logs", "prepared", "-c", "first").strip() == f"prepared.{DOMAIN}"


def test_a_file_that_the_pod_brings_itself_is_kept(ring: TenantCluster) -> None:
    assert says(ring, "own", "cat", "/etc/hosts") == OWN_FILE


def test_a_container_may_write_to_it(ring: TenantCluster) -> None:
    says(ring, "simple", "sh", "-c", "echo '192.0.2.9 more.example.com' >> /etc/hosts")
    assert "more.example.com" in says(ring, "simple", "cat", "/etc/hosts")


@pytest.mark.parametrize(
    ("pod", "qos"), [("sure", "Guaranteed"), ("simple", "BestEffort"), ("strict", "BestEffort")]
)
def test_the_qos_class_stays(local: LocalSystem, ring: TenantCluster, pod: str, qos: str) -> None:
    above, below = ring.get("pod", pod), local.super.get("pod", pod, ring.super_namespace())
    assert above is not None
    assert below is not None
    assert [item["name"] for item in below["spec"]["initContainers"]] == [NAME]
    assert above["status"]["qosClass"] == below["status"]["qosClass"] == qos


def test_another_image_leaves_the_file_in_its_place(ring: TenantCluster) -> None:
    ring.kubectl("set", "image", "pod/prepared", f"main={TOOLBOX}")

    def runs_it() -> bool:
        (status,) = (ring.get("pod", "prepared") or {})["status"]["containerStatuses"]
        return bool(status["restartCount"] == 1 and status["ready"] and TOOLBOX in status["image"])

    wait_for("the container runs the other image", runs_it)
    assert says(ring, "prepared", "hostname", "-f").strip() == f"prepared.{DOMAIN}"


def test_the_tenant_sees_nothing_of_it(ring: TenantCluster) -> None:
    found = ring.get("pod", "sure")
    assert found is not None
    assert "initContainerStatuses" not in found["status"]
    node = f"/api/v1/nodes/{found['spec']['nodeName']}/proxy"
    reports = ("pods", "runningpods/", "stats/summary", "metrics/resource", "metrics/cadvisor")
    for text in (
        ring.kubectl("describe", "pod", "sure", "prepared"),
        ring.kubectl("get", "pods,events", "-o", "yaml"),
        *(ring.kubectl("get", "--raw", f"{node}/{report}") for report in reports),
    ):
        assert NAME not in text
    for action in (["logs", "sure", "-c", NAME], ["exec", "sure", "-c", NAME, "--", "true"]):
        assert "is not valid for pod sure" in ring.kubectl(*action, check=False)

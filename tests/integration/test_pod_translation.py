"""A pod's translation and patches against a real API server, and what the syncer relies on there."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kube.client import Client, Patch
from kube.connection import KubeconfigFile
from kube.errors import Conflict, Invalid
from kube.objects import Object, ObjectKey, decode_object, encode, key_of
from kube.resources import NAMESPACES, PODS, PRIORITY_CLASSES, RUNTIME_CLASSES, SERVICE_ACCOUNTS
from kube.transport import AiohttpTransport
from syncer.kinds import namespace
from syncer.kinds.pod_update import patches
from tests.integration.pod_pairs import ABOVE, OFFERS, TENANT, a_container, a_pair, a_pod
from tests.integration.super_cluster import SuperCluster
from tests.integration.waiting import eventually
from tests.openapi import leaves
from vcluster import api

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("places")]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
FOREIGN_GATE = "kueue.x-k8s.io/topology"


@pytest.fixture
async def client(super_cluster: SuperCluster) -> AsyncIterator[Client]:
    """The super cluster's administrator."""
    client = Client(AiohttpTransport(KubeconfigFile(super_cluster.kubeconfig("admin"))), 60.0)
    yield client
    await client.close()


@pytest.fixture(scope="module")
def places(super_cluster: SuperCluster) -> Iterator[None]:
    """Two namespaces with service accounts, and the classes that are offered."""
    cluster = super_cluster.cluster
    below = namespace.to_super(named(ABOVE, uid=TENANT.uid), TENANT)
    names = ABOVE, below["metadata"]["name"]
    cluster.apply(NAMESPACES, below)
    cluster.apply(NAMESPACES, named(ABOVE, NAMESPACES.api_version, "Namespace"))
    for name in names:
        account = named("default", "v1", "ServiceAccount", namespace=name)
        cluster.apply(SERVICE_ACCOUNTS, account)
    priority = named("pods-batch", PRIORITY_CLASSES.api_version, "PriorityClass")
    cluster.apply(PRIORITY_CLASSES, priority | {"value": 7, "preemptionPolicy": "Never"})
    sandbox = named("pods-sandbox", RUNTIME_CLASSES.api_version, "RuntimeClass")
    overhead = {"podFixed": {"cpu": "10m"}}
    cluster.apply(RUNTIME_CLASSES, sandbox | {"handler": "runsc", "overhead": overhead})
    # Admission knows a priority class only when its watch has told it.
    first = a_pod("first", priorityClassName="pods-batch", runtimeClassName="pods-sandbox")
    eventually("pods may have the classes", lambda: cluster.apply(PODS, first))
    yield
    for name in names:
        cluster.delete(NAMESPACES, name)
    cluster.delete(PRIORITY_CLASSES, "pods-batch")
    cluster.delete(RUNTIME_CLASSES, "pods-sandbox")


def named(name: str, version: str = "", kind: str = "", **metadata: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}}


# Creation.

TERM: Object = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": {
        "matchLabels": {"app": "full"},
        "matchExpressions": [{"key": "tier", "operator": "Exists"}],
    },
    "matchLabelKeys": ["revision"],
    "mismatchLabelKeys": ["tenant"],
    "namespaces": ["other"],
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}},
}
BETWEEN_PODS: Object = {
    REQUIRED: [TERM],
    PREFERRED: [{"weight": 5, "podAffinityTerm": TERM}],
}
PROBE: Object = {"httpGet": {"path": "/healthz", "port": "web"}, "periodSeconds": 7}
CONTAINER = a_container(
    args=["--verbose"],
    command=["/bin/main"],
    env=[
        {"name": "A", "value": "$(KUBERNETES_SERVICE_HOST)"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
    ],
    envFrom=[{"prefix": "P_", "configMapRef": {"name": "c", "optional": True}}],
    lifecycle={"preStop": {"sleep": {"seconds": 3}}},
    livenessProbe=PROBE,
    readinessProbe=PROBE,
    startupProbe=PROBE,
    ports=[{"name": "web", "containerPort": 8080}],
    resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}],
    resources={"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1"}},
    securityContext={
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
    stdin=True,
    terminationMessagePolicy="FallbackToLogsOnError",
    tty=True,
    volumeDevices=[{"name": "claim", "devicePath": "/dev/xvda"}],
    volumeMounts=[{"name": "scratch", "mountPath": "/scratch", "subPathExpr": "$(A)"}],
    workingDir="/tmp",
)
TOKEN = {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 7200}}
FULL: Object = {
    "activeDeadlineSeconds": 600,
    "affinity": {
        "nodeAffinity": {
            REQUIRED: {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "gpu", "operator": "Gt", "values": ["3"]}]}
                ]
            }
        },
        "podAffinity": BETWEEN_PODS,
        "podAntiAffinity": BETWEEN_PODS,
    },
    "containers": [CONTAINER],
    "dnsConfig": {
        "nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
        "searches": ["a.example"],
    },
    "enableServiceLinks": False,
    "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["db"]}],
    "hostname": "worker-0",
    "imagePullSecrets": [{"name": "pull"}],
    "initContainers": [a_container("proxy", restartPolicy="Always")],
    "nodeSelector": {"disk": "ssd"},
    "os": {"name": "linux"},
    "priorityClassName": "pods-batch",
    "readinessGates": [{"conditionType": "example.com/warm"}],
    "restartPolicy": "OnFailure",
    "runtimeClassName": "pods-sandbox",
    "schedulerName": "mine",
    "schedulingGates": [{"name": "example.com/quota"}],
    "securityContext": {
        "fsGroup": 1000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
        "supplementalGroups": [4000],
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
    },
    "setHostnameAsFQDN": True,
    "shareProcessNamespace": True,
    "subdomain": "workers",
    "terminationGracePeriodSeconds": 9,
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "full"}},
            "matchLabelKeys": ["revision"],
            "minDomains": 2,
            "nodeAffinityPolicy": "Ignore",
            "nodeTaintsPolicy": "Honor",
        }
    ],
    "volumes": [
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "vault", "projected": {"sources": [TOKEN]}},
        {"name": "image", "image": {"reference": "example.com/data:1"}},
    ],
}
TRANSLATED = {
    "affinity.nodeAffinity": "the pool's expression stands first",
    "affinity.podAffinity": "names of namespaces, see the unit tests",
    "affinity.podAntiAffinity": "likewise",
    "containers.env": "the tenant's API server, the downward API",
    "initContainers.env": "likewise",
    "dnsConfig": "the tenant's own server first",
    "dnsPolicy": "None, so that dnsConfig holds alone",
    "setHostnameAsFQDN": "off, since the tenant's full name is the hostname",
    "serviceAccountName": "default",
    "automountServiceAccountToken": "off",
    "volumes.projected": "the tenant's tokens",
}


async def test_a_pod_with_all_it_can_have_is_stored_below_as_it_is_above(client: Client) -> None:
    labels = {"app": "full", "revision": "5", "tenant": "x", "tier": "web"}
    pair = await a_pair(client, a_pod("full", labels, **FULL))
    assert _merged_keys(pair.pod), "the API server has merged matchLabelKeys, as we believe"
    assert _merged_keys(pair.mirror) == _merged_keys(pair.pod)
    above, below = _fields(pair.pod["spec"]), _fields(pair.mirror["spec"])
    assert above.keys() - below.keys() == set()
    assert {f for f, values in above.items() if below[f] != values} <= set(TRANSLATED) | {
        "schedulerName"
    }
    assert below.keys() - above.keys() <= {
        "automountServiceAccountToken",
        "containers.env",
        "hostnameOverride",
        "initContainers.env",
    }
    for field in ("priority", "priorityClassName", "preemptionPolicy", "overhead"):
        assert pair.mirror["spec"][field] == pair.pod["spec"][field], "by its own admission"
    assert pair.mirror["status"]["qosClass"] == pair.pod["status"]["qosClass"]


def _merged_keys(pod: Object) -> list[Object]:
    terms = (
        pod["spec"]["affinity"]["podAffinity"][REQUIRED] + pod["spec"]["topologySpreadConstraints"]
    )
    found: list[Object] = [term["labelSelector"]["matchExpressions"] for term in terms]
    return found


def _fields(spec: Object) -> dict[str, list[Any]]:
    """The leaves, grouped as in TRANSLATED."""
    grouped: dict[str, list[Any]] = {}
    for path, value in leaves(spec):
        field = re.sub(r"\[\d+\]", "", path)
        group = next((one for one in TRANSLATED if f"{field}.".startswith(f"{one}.")), field)
        grouped.setdefault(group, []).append(value)
    return grouped


# Changes, as a tenant makes them with kubectl.


async def test_labels_images_deadlines_and_tolerations_follow(client: Client) -> None:
    short = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    pair = await a_pair(client, a_pod("changing", {"app": "a", "drop": "me"}, tolerations=[short]))
    await pair.change_below({"metadata": {"labels": {"of-a-webhook": "yes"}}})
    await pair.change({"metadata": {"labels": {"app": "b", "drop": None}}})
    labels = pair.mirror["metadata"]["labels"]
    assert (labels["app"], labels["of-a-webhook"], "drop" in labels) == ("b", "yes", False)
    await pair.change({"spec": {"containers": [{"name": "main", "image": "example.com/main:2"}]}})
    await pair.change({"spec": {"activeDeadlineSeconds": 60}})
    await pair.change({"spec": {"activeDeadlineSeconds": 30}})
    ours = [item for item in pair.pod["spec"]["tolerations"] if item["key"] != "a"]
    longer = short | {"tolerationSeconds": 600}
    await pair.change({"spec": {"tolerations": [*ours, longer, {"key": "b", "value": "x"}]}})
    spec = pair.mirror["spec"]
    assert spec["containers"][0]["image"] == "example.com/main:2"
    assert spec["activeDeadlineSeconds"] == 30
    assert [item for item in spec["tolerations"] if item["key"] in "ab"] == [
        longer,
        {"key": "b", "value": "x"},
    ]
    assert patches(pair.mirror, pair.pod, TENANT, OFFERS)[-1].body.keys() == {"metadata"}


async def test_gates_and_what_only_gated_pods_may_change_follow(client: Client) -> None:
    disk = {"key": "disk", "operator": "In", "values": ["ssd"]}
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app"]}
    nodes: Object = {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [disk]}]}}
    pod = a_pod(
        "gated",
        {"app": "a"},
        affinity={"nodeAffinity": nodes, "podAffinity": {REQUIRED: [term]}},
        schedulingGates=[{"name": "a/one"}, {"name": "a/two"}],
    )
    pair = await a_pair(client, pod, gate_below=FOREIGN_GATE)
    await pair.change_below({"spec": {"nodeSelector": {"of-a-webhook": "yes"}}})
    await pair.change({"spec": {"nodeSelector": {"gpu": "h100"}}})
    assert pair.mirror["spec"]["nodeSelector"] == {"of-a-webhook": "yes", "gpu": "h100"}
    more: Object = {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [disk, zone]}]}}
    await pair.change({"spec": {"affinity": {"nodeAffinity": more}}})
    shown = pair.mirror["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert shown[0]["matchExpressions"][-2:] == [disk, zone]
    await pair.change({"spec": {"schedulingGates": [{"name": "a/one", "$patch": "delete"}]}})
    assert _gates(pair.mirror) == ["a/two", FOREIGN_GATE]
    await pair.change({"spec": {"schedulingGates": [{"name": "a/two", "$patch": "delete"}]}})
    assert _gates(pair.mirror) == [FOREIGN_GATE]


def _gates(pod: Object) -> list[str]:
    return [gate["name"] for gate in pod["spec"].get("schedulingGates", ())]


async def test_resizes_and_debug_containers_follow_by_their_subresources(client: Client) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "1Gi"}}
    pair = await a_pair(client, a_pod("resized", containers=[a_container(resources=resources)]))
    more = {"requests": {"cpu": "1500m"}}
    body = {"spec": {"containers": [{"name": "main", "resources": more}]}}
    assert await pair.change(body, "resize") == ["resize", ""]
    shown = pair.mirror["spec"]["containers"][0]["resources"]
    assert shown == {"requests": {"cpu": "1500m", "memory": "1Gi"}}
    debug = a_container("debug", targetContainerName="main")
    body = {"spec": {"ephemeralContainers": [debug]}}
    assert await pair.change(body, "ephemeralcontainers") == ["ephemeralcontainers", ""]
    (added,) = pair.mirror["spec"]["ephemeralContainers"]
    assert (added["name"], added["targetContainerName"]) == ("debug", "main")
    assert await pair.follow() == [""], "and then there is nothing left to do"


# What the syncer relies on.


async def test_a_binding_changes_the_node_and_no_generation(client: Client) -> None:
    """So the mirror's mark names the tenant's generation for as long as the spec stays."""
    pair = await a_pair(client, a_pod("bound"))
    key = key_of(pair.pod)
    body = {"metadata": {"name": key.name}, "target": {"kind": "Node", "name": "nowhere"}}
    await client.create(PODS, key, encode(body), "binding")
    bound = decode_object(await client.get(PODS, key))
    assert bound["spec"]["nodeName"] == "nowhere"
    assert bound["metadata"]["generation"] == pair.pod["metadata"]["generation"]
    scheduled = {c["type"]: c["status"] for c in bound["status"]["conditions"]}
    assert scheduled["PodScheduled"] == "True"
    with pytest.raises(Conflict):
        await client.create(PODS, key, encode(body), "binding")


async def test_writes_to_another_pod_of_the_same_name_are_refused(client: Client) -> None:
    pair = await a_pair(client, a_pod("replaced"))
    key, other = key_of(pair.pod), "99999999-9999-9999-9999-999999999999"
    test = {"op": "test", "path": "/metadata/uid", "value": other}
    replace = {"op": "add", "path": "/status", "value": {"phase": "Running"}}
    with pytest.raises(Invalid):
        await client.patch(PODS, key, Patch.JSON, encode([test, replace]), "status")
    body = encode({"metadata": {"uid": other}, "status": {"phase": "Failed"}})
    with pytest.raises(Invalid):
        await client.patch(PODS, key, Patch.STRATEGIC, body, "status")
    with pytest.raises(Conflict):
        await client.delete(PODS, key, uid=other, grace_period_seconds=0)
    target = {"metadata": {"name": key.name, "uid": other}, "target": {"name": "node-1"}}
    with pytest.raises(Conflict):
        await client.create(PODS, key, encode(target), "binding")
    live = decode_object(await client.get(PODS, key))
    assert live["metadata"]["uid"] == pair.pod["metadata"]["uid"]
    assert live["status"]["phase"] == "Pending"
    assert "nodeName" not in live["spec"]


async def test_a_terminating_pod_takes_statuses_and_then_goes_at_once(client: Client) -> None:
    pair = await a_pair(client, a_pod("ending"))
    key, uid = key_of(pair.pod), pair.pod["metadata"]["uid"]
    target = {"metadata": {"name": key.name, "uid": uid}, "target": {"name": "nowhere"}}
    await client.create(PODS, key, encode(target), "binding")
    await client.delete(PODS, key, uid=uid, grace_period_seconds=30)
    test = {"op": "test", "path": "/metadata/uid", "value": uid}
    status = {"phase": "Failed", "reason": "Ended", "qosClass": pair.pod["status"]["qosClass"]}
    write = [test, {"op": "add", "path": "/status", "value": status}]
    live = decode_object(await client.patch(PODS, key, Patch.JSON, encode(write), "status"))
    assert live["status"] == status
    assert live["metadata"]["deletionGracePeriodSeconds"] == 30
    last = decode_object(await client.delete(PODS, key, uid=uid, grace_period_seconds=0))
    assert last["status"]["reason"] == "Ended"
    again = decode_object(await client.create(PODS, ObjectKey(ABOVE, ""), encode(a_pod("ending"))))
    assert again["metadata"]["uid"] != uid, "the name is free at once"


async def test_a_class_of_service_may_not_change(client: Client) -> None:
    """The reason why the tenant's own is always written."""
    pair = await a_pair(client, a_pod("classy"))
    value = {"phase": "Running", "qosClass": "Guaranteed"}
    write = encode([{"op": "add", "path": "/status", "value": value}])
    with pytest.raises(Invalid, match="qosClass"):
        await client.patch(PODS, key_of(pair.pod), Patch.JSON, write, "status")


async def test_marks_reach_the_downward_api_by_paths_that_an_api_server_takes(
    client: Client,
) -> None:
    variables = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in (("N", "metadata.namespace"), ("S", "spec.serviceAccountName"))
    ]
    items = [{"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}}]
    volume = {"name": "v", "downwardAPI": {"items": items}}
    pod = a_pod("shown", containers=[a_container(env=variables)], volumes=[volume])
    pair = await a_pair(client, pod)
    marks = pair.mirror["metadata"]["annotations"]
    assert marks[api.NAMESPACE_ANNOTATION] == ABOVE
    assert marks[api.SERVICE_ACCOUNT_ANNOTATION] == "default"
    path = f"metadata.annotations['{api.UID_ANNOTATION}']"
    shown = pair.mirror["spec"]["volumes"][0]["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"]
    assert shown == path

"""``kubectl cordon``, ``drain``, ``taint``, and resources given to nodes, in a tenant: they count for its own
pods, and no others."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, pod

NODE, OTHER = "cpu-0", "cpu-1"
MINE = "example.com/licence"
ON_NODE = {"nodeSelector": {"kubernetes.io/hostname": NODE}}


@pytest.fixture(autouse=True)
def _left_as_found(local: LocalSystem, team_a: TenantCluster) -> Iterator[None]:
    yield
    team_a.kubectl("delete", "deployment,pod", "--all", "--wait=false")
    for cluster in (local.super, team_a):
        cluster.kubectl("taint", "node", NODE, "example.com/mine-", check=False)
        cluster.kubectl("taint", "node", NODE, "example.com/theirs-", check=False)
        cluster.kubectl("uncordon", NODE)
    team_a.kubectl("delete", "priorityclass", "high", "--ignore-not-found")
    give(team_a, None)


def give(tenant: TenantCluster, amount: int | None) -> str:
    """Say that the node has so much of a resource; None: nothing of it."""
    amounts = {MINE: None if amount is None else str(amount)}
    patch = json.dumps({"status": {"capacity": amounts}})
    return tenant.kubectl(
        "patch", "node", NODE, "--subresource=status", "--type=merge", "-p", patch
    )


def wanting(name: str, amount: int, **more: object) -> Object:
    """A pod that asks for the resource."""
    resources = {"limits": {MINE: str(amount)}}
    return pod(name, containers=[{"name": "main", "image": "demo", "resources": resources}], **more)


def spec(cluster: LocalSystem | TenantCluster) -> Object:
    """What a cluster says of the node."""
    found = (cluster.super if isinstance(cluster, LocalSystem) else cluster).get("node", NODE, "")
    node_spec: Object = (found or {})["spec"]
    return node_spec


def taint_keys(cluster: LocalSystem | TenantCluster) -> list[str]:
    return sorted(taint["key"] for taint in spec(cluster).get("taints") or ())


def is_ready(tenant: TenantCluster, *names: str) -> None:
    pods = [f"pod/{name}" for name in names]
    tenant.kubectl("wait", "--for=condition=Ready", *pods, "--timeout=150s")


def told(tenant: TenantCluster, name: str, reason: str) -> list[str]:
    return [event["message"] for event in tenant.events(name) if event["reason"] == reason]


def uid(tenant: TenantCluster, name: str) -> str:
    """Of a pod that stays; empty if it is gone or going."""
    metadata = (tenant.get("pod", name) or {"metadata": {"deletionTimestamp": ""}})["metadata"]
    return "" if "deletionTimestamp" in metadata else str(metadata["uid"])


def is_gone(tenant: TenantCluster, name: str) -> bool:
    return tenant.get("pod", name) is None


def places(tenant: TenantCluster, app: str) -> list[str]:
    """The nodes of the pods that run and stay."""
    return [
        item["spec"]["nodeName"]
        for item in tenant.items("pods", "-l", f"app={app}")
        if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]
    ]


def test_a_cordoned_node_takes_no_new_pods_until_it_is_uncordoned(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    said = team_a.kubectl("cordon", NODE, check=False)
    assert "Warning" not in said
    team_a.apply(pod("waits", **ON_NODE))
    team_b.apply(pod("neighbour", **ON_NODE))
    wait_for("it finds no place", lambda: told(team_a, "waits", "FailedScheduling"))
    is_ready(team_b, "neighbour")
    assert spec(team_a)["unschedulable"], "nobody has undone it"
    assert not spec(local).get("unschedulable")
    assert not spec(team_b).get("unschedulable")
    before = uid(team_a, "waits")
    team_a.kubectl("uncordon", NODE)
    is_ready(team_a, "waits")
    assert uid(team_a, "waits") == before
    team_b.kubectl("delete", "pod", "neighbour", "--wait=false")


def test_a_drained_node_is_left_by_the_tenants_pods_and_by_no_others(
    team_a: TenantCluster, team_b: TenantCluster
) -> None:
    both = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE, OTHER]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [both]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    team_b.apply(pod("neighbour", **ON_NODE))
    is_ready(team_b, "neighbour")
    neighbour = uid(team_b, "neighbour")
    team_a.apply(deployment("moves", replicas=6, affinity=affinity))
    wait_for("it runs on both", lambda: set(places(team_a, "moves")) == {NODE, OTHER})
    drain = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=150s")
    team_a.kubectl("drain", NODE, *drain)
    wait_for("all run on the other", lambda: places(team_a, "moves") == [OTHER] * 6)
    assert uid(team_b, "neighbour") == neighbour
    team_a.kubectl("uncordon", NODE)
    team_a.apply(pod("returns", **ON_NODE))
    is_ready(team_a, "returns")
    team_b.kubectl("delete", "pod", "neighbour", "--wait=false")


def test_a_taint_keeps_pods_away_and_evicts_those_that_do_not_tolerate_it(
    team_a: TenantCluster, team_b: TenantCluster
) -> None:
    tolerant = {"key": "example.com/mine", "operator": "Exists"}
    patient = tolerant | {"effect": "NoExecute", "tolerationSeconds": 3600}
    team_a.apply(
        pod("plain", **ON_NODE),
        pod("tolerant", tolerations=[tolerant], **ON_NODE),
        pod("patient", tolerations=[patient], **ON_NODE),
        pod("hurried", tolerations=[patient | {"tolerationSeconds": 2}], **ON_NODE),
    )
    team_b.apply(pod("neighbour", **ON_NODE))
    is_ready(team_a, "plain", "tolerant", "patient", "hurried")
    is_ready(team_b, "neighbour")
    before = [uid(team_a, "tolerant"), uid(team_a, "patient"), uid(team_b, "neighbour")]
    assert "Warning" not in team_a.kubectl(
        "taint", "node", NODE, "example.com/mine=1:NoExecute", check=False
    )
    for name in ("plain", "hurried"):
        wait_for(f"{name} is evicted", partial(is_gone, team_a, name))
        [message] = told(team_a, name, "TaintManagerEviction")
        assert message == f"Marking for deletion Pod default/{name}"
    team_a.apply(pod("later", **ON_NODE), pod("welcome", tolerations=[tolerant], **ON_NODE))
    is_ready(team_a, "welcome")
    wait_for("the next one finds no place", lambda: told(team_a, "later", "FailedScheduling"))
    team_a.kubectl("taint", "node", NODE, "example.com/mine-")
    is_ready(team_a, "later")
    wait_for("an eviction is called off", lambda: told(team_a, "patient", "TaintManagerEviction"))
    after = [uid(team_a, "tolerant"), uid(team_a, "patient"), uid(team_b, "neighbour")]
    assert after == before
    team_b.kubectl("delete", "pod", "neighbour", "--wait=false")


def test_what_the_provider_says_of_a_node_cannot_be_taken_away(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    theirs, mine = "example.com/theirs", "example.com/mine"
    local.super.kubectl("taint", "node", NODE, f"{theirs}=1:NoSchedule")
    local.super.kubectl("cordon", NODE)
    wait_for(
        "it is shown",
        lambda: theirs in taint_keys(team_a) and spec(team_a).get("unschedulable"),
    )
    team_a.kubectl("taint", "node", NODE, f"{mine}=1:NoSchedule")
    assert "Warning: " in team_a.kubectl("taint", "node", NODE, f"{theirs}-", check=False)
    assert "Warning: " in team_a.kubectl("uncordon", NODE, check=False)
    wait_for(
        "both are put back",
        lambda: {theirs, mine} <= set(taint_keys(team_a)) and spec(team_a).get("unschedulable"),
    )
    local.super.kubectl("taint", "node", NODE, f"{theirs}-")
    local.super.kubectl("uncordon", NODE)
    wait_for(
        "the provider's go and the tenant's stay",
        lambda: taint_keys(team_a) == [mine] and not spec(team_a).get("unschedulable"),
    )
    assert not taint_keys(local)


def test_a_resource_that_the_tenant_gives_to_a_node_is_shared_by_its_pods(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    assert "Warning" not in give(team_a, 3)
    team_a.apply(wanting("first", 2))
    is_ready(team_a, "first")
    team_a.apply(wanting("second", 2))
    wait_for("it is told why it waits", lambda: told(team_a, "second", "InsufficientResource"))
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    team_a.apply(high | {"metadata": {"name": "high"}})
    team_a.apply(wanting("urgent", 2, priorityClassName="high"))
    is_ready(team_a, "urgent")
    assert not uid(team_a, "first"), "it gave way"
    give(team_a, 4)
    is_ready(team_a, "second")
    for name in ("urgent", "second"):
        assert (team_a.get("pod", name) or {})["spec"]["nodeName"] == NODE
    team_b.apply(wanting("neighbour", 1))
    wait_for("nobody else has any", lambda: told(team_b, "neighbour", "FailedScheduling"))
    assert MINE not in str((local.super.get("node", NODE, "") or {})["status"])
    assert MINE not in str((team_b.get("node", NODE, "") or {})["status"])
    team_b.kubectl("delete", "pod", "neighbour", "--wait=false")

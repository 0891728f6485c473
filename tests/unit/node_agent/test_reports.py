"""Of what the kubelet tells about a node, a tenant learns its own part, in its own words."""

import json
from typing import Any

from kube.objects import ObjectKey, decode_object, encode
from node_agent.pods import SuperPod
from node_agent.reports import exposition, podlist, summary
from node_agent.reports.totals import Share
from tests.unit.node_agent.tenants import TenantUnderTest
from tests.unit.node_agent.world import World
from vcluster import api, hosts_file

SUPER_UID, UID = "5aa5-super", "1bb1-tenant"
MINE = SuperPod(
    key=ObjectKey("team-a-1-default", "web"),
    uid=SUPER_UID,
    tenant="team-a-1",
    source=ObjectKey("default", "web"),
    source_uid=UID,
    service_account="builder",
)
PODS = {MINE.key: MINE}


def a_pod(namespace: str = MINE.key.namespace, uid: str = SUPER_UID, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "web",
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": "7",
            "labels": {"app": "web", api.TENANT_LABEL: "team-a-1"},
            "annotations": {"kubernetes.io/config.source": "api", api.UID_ANNOTATION: UID},
        },
        "spec": {"serviceAccountName": "default", "novel": 1, **spec},
        "status": {"phase": "Running"},
    }


def listed(*pods: dict[str, Any]) -> Any:
    body = encode({"kind": "PodList", "items": list(pods)})
    return json.loads(b"".join(podlist.filtered(body, PODS)))["items"]


def test_the_list_holds_the_tenants_pods_as_the_tenant_knows_them() -> None:
    [shown] = listed(a_pod("team-b-2-default"), a_pod(), a_pod("kube-system"))
    assert shown == {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": UID,
            "labels": {"app": "web"},
            "annotations": {"kubernetes.io/config.source": "api"},
        },
        "spec": {"serviceAccountName": "builder", "novel": 1},
        "status": {"phase": "Running"},
    }


def test_a_pod_of_another_uid_is_another_pod() -> None:
    assert listed(a_pod(uid="other")) == []
    assert json.loads(b"".join(podlist.filtered(b'{"items":null}', PODS)))["items"] == []


OURS = {"name": hosts_file.NAME}


def test_the_list_shows_nothing_of_our_init_container() -> None:
    mount = OURS | {"mountPath": "/etc/hosts"}
    pod = a_pod(initContainers=[OURS], containers=[{"name": "main", "volumeMounts": [mount]}])
    pod["spec"]["volumes"] = [{"name": "data"}, OURS]
    pod["status"]["initContainerStatuses"] = [OURS | {"ready": True}]
    [shown] = listed(pod)
    assert hosts_file.NAME not in str(shown)
    assert shown["spec"]["containers"] == [{"name": "main"}]
    assert shown["spec"]["volumes"] == [{"name": "data"}]


def test_statistics_and_metrics_show_nothing_of_it() -> None:
    stats = some_stats(MINE.key.namespace, SUPER_UID, 3, 4)
    stats["containers"] = [{"name": "main"}, OURS]
    stats["volume"].append(OURS | {"usedBytes": 4096})
    body = encode({"node": {"nodeName": "node-1"}, "pods": [stats]})
    [pod] = decode_object(summary.filtered(body, PODS, Share()))["pods"]
    assert pod["containers"] == [{"name": "main"}]
    assert [volume["name"] for volume in pod["volume"]] == ["data"]
    lines = [
        b'x{container="%s",namespace="team-a-1-default",pod="web"} 1' % name.encode()
        for name in ("main", hosts_file.NAME)
    ]
    text = b"".join(exposition.filtered(b"\n".join(lines), PODS)).decode()
    assert text == 'x{container="main",namespace="default",pod="web"} 1\n'


def some_stats(namespace: str, uid: str, cores: int, memory: int) -> dict[str, Any]:
    return {
        "podRef": {"name": "web", "namespace": namespace, "uid": uid},
        "cpu": {"usageNanoCores": cores, "usageCoreNanoSeconds": cores * 10},
        "memory": {"workingSetBytes": memory},
        "volume": [{"name": "data", "pvcRef": {"name": "data", "namespace": namespace}}],
    }


def test_the_summary_of_the_node_is_the_tenants_share() -> None:
    body = encode(
        {
            "node": {
                "nodeName": "node-1",
                "startTime": "2026-01-01T00:00:00Z",
                "systemContainers": [{"name": "kubelet"}],
                "cpu": {"time": "T", "usageNanoCores": 999, "usageCoreNanoSeconds": 9999},
                "memory": {"time": "T", "workingSetBytes": 999, "availableBytes": 5},
                "fs": {"usedBytes": 999},
            },
            "pods": [
                some_stats("team-b-2-default", "theirs", 500, 600),
                some_stats(MINE.key.namespace, SUPER_UID, 3, 4),
                some_stats(MINE.key.namespace, "of another pod of that name", 100, 100),
            ],
        }
    )
    shown = decode_object(summary.filtered(body, PODS, Share()))
    assert shown["node"]["cpu"] == {"time": "T", "usageNanoCores": 3, "usageCoreNanoSeconds": 30}
    assert shown["node"]["memory"]["workingSetBytes"] == 4
    assert set(shown["node"]) == {"nodeName", "startTime", "cpu", "memory"}
    [pod] = shown["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": UID}
    assert pod["volume"][0]["pvcRef"] == {"name": "data", "namespace": "default"}


METRICS = b"""# HELP pod_cpu_usage_seconds_total Time.
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="kube-system",pod="web"} 100 1000
pod_cpu_usage_seconds_total{namespace="team-a-1-default",pod="web"} 1.5 2000
pod_cpu_usage_seconds_total{namespace="team-b-2-default",pod="web"} 50 3000
# HELP node_memory_working_set_bytes Of everybody.
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 1e9 1000
# HELP container_x X.
# TYPE container_x gauge
container_x{id="/kubepods/pod5aa5-super/c",image="a,namespace=",namespace="team-a-1-default",pod="web"} 1
container_x{id="/kubepods.slice/pod5aa5_super.slice",namespace="team-a-1-default",pod="web"} 2
container_x{id="/",namespace="",pod=""} 3
container_x{namespace="team-a-1-default",namespace="team-b-2-default",pod="web"} 4
container_x{image="x\\",namespace=\\"team-a-1-default\\",pod=\\"web",namespace="team-b-2-default",pod="web"} 5
# HELP prober_probe_total P.
prober_probe_total{namespace="team-a-1-default",pod="web",pod_uid="5aa5-super"} 6
prober_probe_total{namespace="team-a-1-default",pod="web",pod_uid="another"} 7
prober_probe_total{namespace="team-a-1-default",pod="gone",pod_uid="5aa5-super"} 8
resource_scrape_error 0
"""


def test_the_metrics_are_the_samples_of_the_tenants_pods() -> None:
    shown = b"".join(exposition.filtered(METRICS, PODS)).decode().splitlines()
    assert shown == [
        "# HELP pod_cpu_usage_seconds_total Time.",
        "# TYPE pod_cpu_usage_seconds_total counter",
        'pod_cpu_usage_seconds_total{namespace="default",pod="web"} 1.5 2000',
        "# HELP container_x X.",
        "# TYPE container_x gauge",
        f'container_x{{id="/kubepods.slice/pod{UID.replace("-", "_")}.slice",'
        'namespace="default",pod="web"} 2',
        "# HELP prober_probe_total P.",
        f'prober_probe_total{{namespace="default",pod="web",pod_uid="{UID}"}} 6',
        "resource_scrape_error 0",
    ]


def test_the_nodes_metrics_are_the_sum_of_the_tenants_pods() -> None:
    pieces = exposition.with_node_totals(exposition.filtered(METRICS, PODS), Share())
    text = b"".join(pieces).decode()
    assert "\nnode_cpu_usage_seconds_total 1.5 2000\n" in text
    assert "1e9" not in text


def test_a_share_never_goes_back_though_pods_come_and_go() -> None:
    share = Share()
    scrapes: tuple[dict[str, float], ...] = (
        {"a": 5.0},
        {"a": 6.0, "b": 1.0},
        {"b": 2.0},
        {"b": 0.5},
        {},
        {"c": 1.0},
    )
    assert [share.counter("cpu", by_pod) for by_pod in scrapes] == [5.0, 7.0, 8.0, 8.5, 8.5, 9.5]


async def test_each_tenant_gets_its_own_report_of_one_answer(world: World) -> None:
    """And the kubelet is asked once for both."""

    def stats(tenant: TenantUnderTest) -> dict[str, Any]:
        namespace = tenant.super_namespace()
        return some_stats(namespace, world.kubelet.pods[namespace, "web"], 1, 2)

    both = (world.team_a, world.team_b)
    world.kubelet.reports["/stats/summary"] = encode(
        {"node": {"nodeName": "node-1"}, "pods": [stats(tenant) for tenant in both]}
    )
    for tenant in both:
        answer = await world.ask(tenant.client(), "GET", "/stats/summary")
        assert answer.status == 200
        assert len(json.loads(answer.body)["pods"]) == 1
        assert not any(other.key in answer.text for other in both)
    assert len(world.kubelet.requests) == 1

"""A tenant's quota holds over all its namespaces, whatever happens to the syncer."""

from typing import Any

from kube.objects import Object, ObjectKey
from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SERVICES
from syncer import metrics
from syncer.admission.gangs import OWNERS
from syncer.tenants import VIRTUAL_CLUSTERS
from tests.builders import a_namespace, a_node, a_pod, a_service, with_metadata
from tests.fakes.faults import Answer, Cut
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

GPU = "nvidia.com/gpu"


def quota(**hard: str) -> Object:
    names = {
        "gpus": f"requests.{GPU}",
        "cpu": "requests.cpu",
        "balancers": "services.loadbalancers",
    }
    return {"quota": {"hard": {names.get(key, key): value for key, value in hard.items()}}}


def a_worker(name: str, namespace: str = "default", cpu: str = "1", **spec: Any) -> Object:
    container = {"name": "main", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return a_pod(name, namespace, containers=[container], **spec)


def in_order(pod: Object, second: int) -> Object:
    return with_metadata(pod, creationTimestamp=f"2026-01-01T00:00:{second:02}Z")


async def started(world: World, **hard: str) -> TenantCluster:
    cluster = await world.add_tenant("acme", quota(**hard))
    await world.start_syncer()
    return cluster


def down(world: World) -> set[str]:
    return {pod["metadata"]["name"] for pod in world.super.objects(PODS)}


async def waits(cluster: TenantCluster, name: str, namespace: str = "default") -> Object:
    """Wait until the pod says why it waits; the condition."""

    def condition() -> Object | None:
        pod = cluster.server.get(PODS, ObjectKey(namespace, name)) or {}
        conditions = pod.get("status", {}).get("conditions") or ()
        return next((item for item in conditions if item["reason"] == "QuotaExceeded"), None)

    return await eventually(condition, f"pod {name} waits for quota")


async def ends(world: World, cluster: TenantCluster, name: str, namespace: str = "default") -> None:
    key = cluster.mirror_key(ObjectKey(namespace, name))
    world.super.patch(PODS, key, {"status": {"phase": "Succeeded"}}, "status")


async def test_over_all_namespaces_and_down_by_itself_the_oldest_first(world: World) -> None:
    cluster = await started(world, cpu="2")
    cluster.server.create(NAMESPACES, a_namespace("shop"))
    cluster.server.create(PODS, a_worker("one"))
    cluster.server.create(PODS, a_worker("two", "shop"))
    await cluster.goes_down(PODS, ObjectKey("default", "one"))
    await cluster.goes_down(PODS, ObjectKey("shop", "two"))
    cluster.server.create(PODS, in_order(a_worker("old", "shop"), 1))
    condition = await waits(cluster, "old", "shop")
    assert "requests.cpu: 2 used, 1 wanted, 2 allowed" in condition["message"]
    assert condition["type"] == "PodScheduled"
    assert condition["status"] == "False"
    event = await cluster.told("QuotaExceeded")
    assert "requests.cpu: 2 used, 1 wanted, 2 allowed" in event["message"]
    cluster.server.create(PODS, in_order(a_worker("young", cpu="500m"), 2))
    await waits(cluster, "young")
    assert down(world) == {"one", "two"}
    await ends(world, cluster, "one")
    await cluster.goes_down(PODS, ObjectKey("shop", "old"))
    assert cluster.mirror(PODS, ObjectKey("default", "young")) is None
    await ends(world, cluster, "two", "shop")
    await cluster.goes_down(PODS, ObjectKey("default", "young"))


async def test_a_quota_of_cpu_refuses_pods_that_name_none(world: World) -> None:
    cluster = await started(world, cpu="2")
    cluster.server.create(PODS, a_pod("web"))
    event = await cluster.told("QuotaExceeded")
    assert "every container must name them: requests.cpu for main" in event["message"]
    assert down(world) == set()


async def test_a_restart_counts_what_is_there(world: World) -> None:
    cluster = await started(world, pods="2")
    for name in ("one", "two"):
        cluster.server.create(PODS, a_pod(name))
        await cluster.goes_down(PODS, ObjectKey("default", name))
    await world.kill_syncer()
    for name in ("three", "four"):
        cluster.server.create(PODS, a_pod(name))
    await world.start_syncer()
    await waits(cluster, "three")
    await waits(cluster, "four")
    assert down(world) == {"one", "two"}


async def test_a_burst_is_never_more_than_allowed(world: World) -> None:
    cluster = await started(world, pods="7", cpu="5")
    for index in range(30):
        cluster.server.create(PODS, a_worker(f"p{index}"))
    await eventually(lambda: len(down(world)) == 5, "five pods are down")
    labels = {"tenant": cluster.tenant.key, "reason": "QuotaExceeded"}

    def held() -> bool:
        # the metrics are refreshed when they are read
        waiting = [
            pod
            for pod in cluster.server.objects(PODS)
            if any(
                item["reason"] == "QuotaExceeded"
                for item in pod.get("status", {}).get("conditions") or ()
            )
        ]
        return len(waiting) == 25

    await eventually(held, "the others say that they wait")
    assert len(down(world)) == 5
    assert metrics.REGISTRY.get_sample_value("syncer_held_pods", labels) in (None, 25.0)


async def test_services_count_too_and_a_change_of_type_is_asked_for(world: World) -> None:
    cluster = await started(world, services="2", balancers="0")
    cluster.server.create(SERVICES, a_service("one", clusterIP="10.101.5.20"))
    cluster.server.create(SERVICES, a_service("two", clusterIP="10.101.5.21"))
    for name in ("one", "two"):
        await cluster.goes_down(SERVICES, ObjectKey("default", name))
    cluster.server.create(SERVICES, a_service("three", clusterIP="10.101.5.22"))
    event = await cluster.told("QuotaExceeded")
    assert event["message"] == "waits for quota: services: 2 used, 1 wanted, 2 allowed"
    assert cluster.mirror(SERVICES, ObjectKey("default", "three")) is None
    cluster.server.patch(SERVICES, ObjectKey("default", "two"), {"spec": {"type": "LoadBalancer"}})

    def refused() -> bool:
        messages = [event["message"] for event in cluster.server.objects(EVENTS)]
        return any("services.loadbalancers: 0 used, 1 wanted, 0 allowed" in m for m in messages)

    await eventually(refused, "the load balancer is refused")
    shown = cluster.mirror(SERVICES, ObjectKey("default", "two"))
    assert shown is not None
    assert shown["spec"].get("type") != "LoadBalancer"
    cluster.server.delete(SERVICES, ObjectKey("default", "one"))
    await cluster.goes_down(SERVICES, ObjectKey("default", "three"))


async def test_a_resize_over_quota_is_refused_aloud(world: World) -> None:
    cluster = await started(world, cpu="2")
    key = ObjectKey("default", "one")
    cluster.server.create(PODS, a_worker("one"))
    await cluster.runs(key)
    grown = a_worker("one", cpu="3")["spec"]["containers"]
    cluster.server.patch(PODS, key, {"spec": {"containers": grown}}, "resize")
    event = await cluster.told("QuotaExceeded")
    assert "resize refused: requests.cpu: 1 used, 2 wanted, 2 allowed" in event["message"]
    mirror = cluster.mirror(PODS, key)
    assert mirror is not None
    assert mirror["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"


async def test_what_is_used_is_told_to_provider_and_tenant(world: World) -> None:
    cluster = await started(world, pods="3", cpu="4")
    cluster.server.create(PODS, a_worker("one", cpu="1500m"))
    wanted = {"pods": "1", "requests.cpu": "1500m"}

    def status() -> bool:
        found = world.super.live(VIRTUAL_CLUSTERS, ObjectKey("tenants", "acme"))
        return bool(found["status"].get("quota", {}).get("used") == wanted)

    await eventually(status, "the status says what is used")
    key = ObjectKey("kube-system", api.QUOTA_CONFIG_MAP)

    def config_map() -> bool:
        found = cluster.server.get(CONFIG_MAPS, key) or {}
        return "requests.cpu: 1500m of 4" in found.get("data", {}).get("summary", "")

    await eventually(config_map, "the tenant can read what is used")


async def test_a_pod_that_is_deleted_while_it_waits_gives_way(world: World) -> None:
    cluster = await started(world, cpu="2")
    cluster.server.create(PODS, a_worker("one"))
    await cluster.goes_down(PODS, ObjectKey("default", "one"))
    cluster.server.create(PODS, in_order(a_worker("large", cpu="2"), 1))
    await waits(cluster, "large")
    cluster.server.create(PODS, in_order(a_worker("small"), 2))
    await waits(cluster, "small")
    cluster.server.delete(PODS, ObjectKey("default", "large"), 0)
    await cluster.goes_down(PODS, ObjectKey("default", "small"))


def with_devices(name: str, gpus: int = 1) -> Object:
    limits = {GPU: str(gpus)}
    resources = {"limits": limits, "requests": limits}
    container = {"name": "main", "image": "i", "resources": resources}
    return a_pod(name, containers=[container])


def gang_member(name: str) -> Object:
    marks = {api.GANG_ANNOTATION: "train", api.GANG_SIZE_ANNOTATION: "3"}
    return with_metadata(with_devices(name), annotations=marks)


def with_gpus(gpus: int) -> Object:
    node = a_node("gpu-node")
    capacity = {"cpu": "8", "memory": "16Gi", "pods": "110", GPU: str(gpus)}
    return node | {"status": node["status"] | {"allocatable": capacity}}


async def test_never_a_part_of_a_gang(world: World) -> None:
    world.super.create(NODES, with_gpus(8))
    cluster = await started(world, gpus="4")
    cluster.server.create(PODS, with_devices("alone", gpus=2))
    await cluster.goes_down(PODS, ObjectKey("default", "alone"))
    for index in range(3):
        cluster.server.create(PODS, gang_member(f"m{index}"))
    for index in range(3):
        condition = await waits(cluster, f"m{index}")
        assert "the gang of 3 pods waits for quota" in condition["message"]
    assert down(world) == {"alone"}
    await ends(world, cluster, "alone")
    for index in range(3):
        await cluster.goes_down(PODS, ObjectKey("default", f"m{index}"))


async def test_a_gang_is_completed_after_a_kill(world: World) -> None:
    world.super.create(NODES, with_gpus(3))
    cluster = await started(world, gpus="3")
    for index in range(3):
        cluster.server.create(PODS, gang_member(f"m{index}"))
    for index in range(3):
        await cluster.goes_down(PODS, ObjectKey("default", f"m{index}"))
    await world.kill_syncer()
    key = cluster.mirror_key(ObjectKey("default", "m1"))
    world.super.lose(PODS, key)  # as if the kill had come before it was created
    await world.start_syncer()
    await cluster.goes_down(PODS, ObjectKey("default", "m1"))


async def test_the_quota_of_a_creation_whose_answer_was_lost_stays_taken(world: World) -> None:
    cluster = await started(world, pods="2")
    cluster.server.create(PODS, a_pod("warm"))  # so that its namespace is there
    await cluster.goes_down(PODS, ObjectKey("default", "warm"))
    world.super.script.add("POST", r"/pods$", Cut(done=True))
    cluster.server.create(PODS, a_pod("lost"))
    await cluster.goes_down(PODS, ObjectKey("default", "lost"))
    cluster.server.create(PODS, a_pod("late"))
    await waits(cluster, "late")
    assert down(world) == {"warm", "lost"}
    await cluster.runs(ObjectKey("default", "lost"))
    await ends(world, cluster, "warm")
    await cluster.goes_down(PODS, ObjectKey("default", "late"))


async def test_what_the_super_cluster_refuses_takes_no_quota(world: World) -> None:
    cluster = await started(world, pods="2")
    cluster.server.create(PODS, a_pod("warm"))
    await cluster.goes_down(PODS, ObjectKey("default", "warm"))
    refusal = world.super.script.add("POST", r"/pods$", Answer(403, "Forbidden", "no bad pods"))
    cluster.server.create(PODS, a_pod("bad"))
    await cluster.told("FailedMirror")
    assert refusal.hits == 1
    await cluster.goes_down(PODS, ObjectKey("default", "bad"))  # asked again, with back-off


async def test_the_tenants_priority_orders_its_own_pods(world: World) -> None:
    cluster = await started(world, pods="1")
    cluster.server.create(PODS, a_pod("first"))
    await cluster.goes_down(PODS, ObjectKey("default", "first"))
    cluster.server.create(PODS, in_order(a_pod("old"), 1))
    await waits(cluster, "old")
    cluster.server.create(PODS, in_order(a_pod("urgent", priority=1000), 2))
    await waits(cluster, "urgent")
    await ends(world, cluster, "first")
    mirror = await cluster.goes_down(PODS, ObjectKey("default", "urgent"))
    assert "priority" not in mirror["spec"]
    assert down(world) == {"first", "urgent"}


async def test_a_quota_that_is_raised_lets_more_go_down(world: World) -> None:
    cluster = await started(world, pods="1")
    for name in ("one", "two"):
        cluster.server.create(PODS, a_pod(name))
    await eventually(lambda: len(down(world)) == 1, "one pod is down")
    key = ObjectKey("tenants", "acme")
    world.super.patch(VIRTUAL_CLUSTERS, key, {"spec": quota(pods="2")})
    await eventually(lambda: len(down(world)) == 2, "the other one is down")


def owner(kind: str, api_version: str, name: str, uid: str) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
    }


async def test_the_pods_of_a_job_set_are_one_gang(world: World) -> None:
    """Two jobs of one pod each: the pods' owners are read, and those owners' owner."""
    world.super.create(NODES, with_gpus(8))
    cluster = await started(world, gpus="8")
    kinds = {kind.resource.kind: kind.resource for kind in OWNERS.values()}
    job = {"template": {"spec": {"parallelism": 1}}}
    job_set = cluster.server.create(
        kinds["JobSet"],
        {
            "metadata": {"name": "train", "namespace": "default"},
            "spec": {"replicatedJobs": [job | {"name": "a"}, job | {"name": "b"}]},
        },
    )
    above = owner("JobSet", "jobset.x-k8s.io/v1alpha2", "train", job_set["metadata"]["uid"])
    for name in ("a", "b"):
        made = cluster.server.create(
            kinds["Job"],
            {
                "metadata": {"name": name, "namespace": "default", "ownerReferences": [above]},
                "spec": {"completions": 1, "parallelism": 1, "completionMode": "Indexed"},
            },
        )
        reference = owner("Job", "batch/v1", name, made["metadata"]["uid"])
        labels = {"jobset.sigs.k8s.io/jobset-name": "train"}
        pod = with_metadata(with_devices(name), ownerReferences=[reference], labels=labels)
        cluster.server.create(PODS, pod)
        if name == "a":
            cluster.server.create(PODS, a_pod("later"))
            await cluster.goes_down(PODS, ObjectKey("default", "later"))
            assert cluster.mirror(PODS, ObjectKey("default", "a")) is None
    for name in ("a", "b"):
        mirror = await cluster.goes_down(PODS, ObjectKey("default", name))
        marks = mirror["metadata"]["annotations"]
        assert marks[api.GANG_MARK_ANNOTATION] == f"{job_set['metadata']['uid']} 2"

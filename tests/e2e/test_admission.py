"""Quota and gangs, with the real scheduler, which knows nothing of either."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import job, pod
from vcluster import api

GPU = "nvidia.com/gpu"
GANGS_OF_EACH = 25
SIZE = 4
RUN_SECONDS = "6"


def a_job(name: str, namespace: str, size: int = SIZE, gpus: int = 1) -> Object:
    """An Indexed Job whose pods want to run at the same time."""
    found = job(
        name,
        size,
        {"simulation.virtualcluster.dev/run-seconds": RUN_SECONDS},
        containers=[{"name": "main", "image": "demo", "resources": {"limits": {GPU: gpus}}}],
    )
    return found | {"metadata": {"name": name, "namespace": namespace}}


def namespaces(count: int) -> list[Object]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"gang-{index}"}}
        for index in range(count)
    ]


@pytest.fixture
def limited(local: LocalSystem) -> Iterator[TenantCluster]:
    """A tenant with a quota; gone afterwards."""
    hard = {"pods": "6", f"requests.{GPU}": "2", "services": 3}
    local.vc("create", "limited", "-f", "-", stdin=json.dumps({"quota": {"hard": hard}}))
    yield local.tenant("limited")
    local.vc("delete", "limited")


def partly_bound(local: LocalSystem) -> tuple[set[str], int]:
    """Gangs of which some pods have a node and one finds none; how many GPUs are in use.

    A pod for which the scheduler has a node and is about to say so is not meant.
    """
    bound_ones, refused = set[str](), set[str]()
    used = 0
    for found in local.super.items("pods", "-A", "-l", api.TENANT_LABEL):
        name = (found["metadata"].get("annotations") or {}).get(api.GANG_MARK_ANNOTATION)
        if name:
            bound = bool(found["spec"].get("nodeName"))
            used += bound and found["status"]["phase"] in ("Pending", "Running")
            if bound:
                bound_ones.add(name)
            elif any(
                (condition["type"], condition["status"]) == ("PodScheduled", "False")
                for condition in found["status"].get("conditions") or ()
            ):
                refused.add(name)
    return bound_ones & refused, used


def test_a_burst_of_gangs_never_holds_a_part(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    """50 gangs of 4 on 60 GPUs, by two tenants from 25 namespaces each."""
    tenants = (team_a, team_b)
    for tenant in tenants:
        tenant.apply(*namespaces(GANGS_OF_EACH))
    giant = a_job("giant", "gang-0", size=16, gpus=4)
    team_a.apply(giant)
    for tenant in tenants:
        tenant.apply(*(a_job("train", f"gang-{index}") for index in range(GANGS_OF_EACH)))
    before: set[str] = set()
    most, deadline = 0, time.monotonic() + 480
    while True:
        partly, used = partly_bound(local)
        # What the scheduler knows of a gang that has just ended may be old once, not twice.
        assert not partly & before, f"gangs hold GPUs without running: {partly & before}"
        before, most = partly, max(most, used)
        done = [
            found
            for tenant in tenants
            for found in tenant.items("jobs", "-A", "--field-selector", "metadata.name=train")
            if found.get("status", {}).get("succeeded") == SIZE
        ]
        if len(done) == 2 * GANGS_OF_EACH:
            break
        assert time.monotonic() < deadline, f"{len(done)} gangs have ended"
        time.sleep(1)  # the sampling rate
    # How many at most is a matter of the machine's speed: gangs end while others begin.
    assert most > 3 * SIZE, "gangs ran one by one"
    told = [item["reason"] for item in team_a.items("events", "-n", "gang-0")]
    assert "GangTooLarge" in told
    super_pods = local.super.items("pods", "-n", team_a.super_namespace("gang-0"))
    assert not [found for found in super_pods if "giant" in found["metadata"]["name"]]
    for tenant in tenants:
        names = [found["metadata"]["name"] for found in namespaces(GANGS_OF_EACH)]
        tenant.kubectl("delete", "namespace", *names, "--wait=false")


def test_a_quota_holds_and_says_so(local: LocalSystem, limited: TenantCluster) -> None:
    for index in range(3):
        container = {"name": "main", "image": "demo", "resources": {"limits": {GPU: 1}}}
        limited.apply(pod(f"gpu-{index}", containers=[container]))

    def held() -> Object | None:
        conditions = [
            (found["metadata"]["name"], item)
            for found in limited.items("pods")
            for item in found.get("status", {}).get("conditions") or ()
            if item.get("reason") == "QuotaExceeded"
        ]
        return dict(conditions) or None

    waiting = wait_for("a pod says that it waits", held)
    [(name, condition)] = waiting.items()
    assert f"requests.{GPU}: 2 used, 1 wanted, 2 allowed" in condition["message"]
    wait_for(
        "an Event says so too",
        lambda: any(event["reason"] == "QuotaExceeded" for event in limited.events(name)),
    )

    def reported() -> bool:
        found = local.super.get("virtualcluster", "limited", "tenants") or {}
        used: Object = found["status"].get("quota", {}).get("used", {})
        return used.get(f"requests.{GPU}") == "2"

    wait_for("the status says what is used", reported)

    def readable() -> bool:
        found = limited.get("configmap", api.QUOTA_CONFIG_MAP, "kube-system") or {}
        return f"requests.{GPU}: 2 of 2" in found.get("data", {}).get("summary", "")

    wait_for("the tenant can read it", readable)
    other = next(f"gpu-{index}" for index in range(3) if f"gpu-{index}" != name)
    limited.kubectl("delete", "pod", other, "--wait=false")
    wait_for(
        "the pod goes down by itself",
        lambda: ((limited.get("pod", name) or {}).get("status") or {}).get("phase") == "Running",
    )


def test_a_native_pod_group_goes_down_as_one(local: LocalSystem, team_a: TenantCluster) -> None:
    """The super cluster's API server does not know the field by which the pods name it."""
    team_a.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1beta1",
            "kind": "PodGroup",
            "metadata": {"name": "pair"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}},
        }
    )
    member = {"schedulingGroup": {"podGroupName": "pair"}}
    team_a.apply(pod("pair-0", **member), pod("alone"))
    wait_for(
        "a later pod is down", lambda: local.super.get("pod", "alone", team_a.super_namespace())
    )
    assert local.super.get("pod", "pair-0", team_a.super_namespace()) is None
    team_a.apply(pod("pair-1", **member))
    team_a.kubectl(
        "wait", "--for=condition=Ready", "pod/pair-0", "pod/pair-1", "--timeout=150s"
    )  # fmt: skip
    team_a.kubectl("delete", "pod", "pair-0", "pair-1", "alone", "--wait=false")
    team_a.kubectl("delete", "podgroup", "pair", "--timeout=150s")


def test_an_unknown_key_of_a_quota_is_refused(local: LocalSystem) -> None:
    spec = json.dumps({"quota": {"hard": {"gpus": "8"}}})
    refused = local.vc("create", "greedy", "-f", "-", stdin=spec, check=False)
    assert refused.returncode != 0
    assert "spec.quota.hard knows these keys of ResourceQuota" in refused.stderr

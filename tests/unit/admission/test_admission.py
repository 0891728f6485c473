"""Gangs across tenants on scarce devices, quota before devices, and who waits for whom."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kube.objects import Object, ObjectKey, encode
from kube.quantities import NANOS
from syncer.admission import candidates as holds
from syncer.admission.admission import Admission
from syncer.admission.candidates import Candidate, Hold
from syncer.admission.gangs import Gang
from syncer.admission.nodes import Wanted, placement
from syncer.entries import decode_super_pod
from syncer.runtime.workqueue import Request
from vcluster import api

GPU = "nvidia.com/gpu"


class Cluster:
    """Nodes, a scheduler that binds what fits in any order, and an admission before it."""

    def __init__(self, nodes: int = 15, gpus: int = 4) -> None:
        self.now = 0.0
        self.woken: list[Request] = []
        self._soon: list[Callable[[], None]] = []
        self.admission = Admission(self._wake, self._soon.append, lambda: self.now)
        self.free = {f"node-{index}": gpus for index in range(nodes)}
        self.bound: dict[Request, tuple[str, int]] = {}
        self.ended: set[Request] = set()
        self._version = 0
        for name in self.free:
            self.node(name, gpus)

    def node(self, name: str, gpus: int) -> None:
        status = {"allocatable": {"cpu": "64", "pods": "110", GPU: str(gpus)}}
        self.admission.node(name, {"metadata": {"name": name}, "status": status})

    def ask(self, candidate: Candidate) -> Hold | None:
        hold = self.admission.ask(candidate)
        if hold is None:
            self.show(candidate)
        return hold

    def show(self, candidate: Candidate, node: str = "", phase: str = "Pending") -> None:
        """The super pod is there in this state; without a phase it is gone."""
        raw, self._version = super_pod(candidate, node, phase, self._version + 1), self._version + 1
        key, entry = decode_super_pod(raw)
        if phase:
            self.admission.super_pod(key, None, entry, raw)
        else:
            self.admission.super_pod(key, entry, None, raw)
        self.settle()

    def bind_in_turn(self, down: Sequence[Candidate]) -> None:
        """Do what a scheduler does: bind each pod that fits, to the emptiest node."""
        for pod in sorted(down, key=lambda pod: pod.request.name):
            node = max(self.free, key=lambda name: self.free[name])
            gpus = pod.wanted.amounts[GPU] // NANOS if pod.wanted else 0
            new = pod.request not in self.bound and pod.request not in self.ended
            if new and self.free[node] >= gpus:
                self.free[node] -= gpus
                self.bound[pod.request] = node, gpus
                self.show(pod, node, "Running")

    def end(self, pod: Candidate) -> None:
        node, gpus = self.bound.pop(pod.request)
        self.free[node] += gpus
        self.ended.add(pod.request)
        self.show(pod, node, "Succeeded")

    def settle(self) -> None:
        while self._soon:
            self._soon.pop(0)()

    def _wake(self, requests: Sequence[Request]) -> None:
        self.woken.extend(requests)


def super_pod(candidate: Candidate, node: str, phase: str, version: int) -> bytes:
    amounts = candidate.wanted.amounts if candidate.wanted else {}
    limits = {name: str(value // NANOS) for name, value in amounts.items()}
    marks = {
        api.UID_ANNOTATION: candidate.uid,
        api.NAMESPACE_ANNOTATION: candidate.request.namespace,
        api.DEVICES_ANNOTATION: " ".join(limits),
        api.GANG_MARK_ANNOTATION: candidate.gang.mark if candidate.gang else "",
    }
    pod: Object = {
        "metadata": {
            "name": candidate.mirror.name,
            "namespace": candidate.mirror.namespace,
            "uid": f"super-{candidate.uid}",
            "resourceVersion": str(version),
            "labels": {api.TENANT_LABEL: candidate.request.tenant},
            "annotations": marks,
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "resources": {"limits": limits}}],
        },
        "status": {"phase": phase},
    }
    return encode(pod)


def a_candidate(
    tenant: str = "a", name: str = "p", *, gpus: int = 1, gang: Gang | None = None, **more: Any
) -> Candidate:
    amounts = {GPU: gpus * NANOS}
    return Candidate(
        request=Request(tenant, "pods", "default", name),
        mirror=ObjectKey(f"{tenant}-default", name),
        uid=f"{tenant}/{name}",
        priority=more.get("priority", 0),
        created=more.get("created", ""),
        usage={"pods": NANOS, f"requests.{GPU}": gpus * NANOS},
        wanted=Wanted(amounts, placement({})) if gpus else None,
        gang=gang,
    )


def a_gang(tenant: str = "a", size: int = 4, gpus: int = 1, name: str = "g") -> list[Candidate]:
    gang = Gang(f"default/{name}", size)
    return [a_candidate(tenant, f"{name}-{index}", gpus=gpus, gang=gang) for index in range(size)]


def reasons(cluster: Cluster, pods: Sequence[Candidate]) -> list[str]:
    holds_ = [cluster.ask(pod) for pod in pods]
    return ["" if hold is None else hold.reason for hold in holds_]


def test_a_gang_goes_down_when_all_of_it_is_there_and_as_one() -> None:
    cluster = Cluster(nodes=1)
    pods = a_gang()
    assert reasons(cluster, pods) == [holds.INCOMPLETE] * 3 + [""]
    assert cluster.woken == [pod.request for pod in pods[:3]]
    assert reasons(cluster, pods[:3]) == [""] * 3


def test_the_second_gang_waits_until_the_first_has_ended() -> None:
    cluster = Cluster(nodes=1)
    first, second = a_gang("a"), a_gang("b")
    reasons(cluster, first)
    reasons(cluster, first[:3])
    assert reasons(cluster, second)[-1] == holds.NO_DEVICES
    for pod in first:
        cluster.show(pod, "node-0", "Running")
    for pod in first[:3]:
        cluster.show(pod, "node-0", "Succeeded")
    assert reasons(cluster, second) == [holds.NO_DEVICES] * 4  # three devices are not enough
    cluster.woken.clear()
    cluster.show(first[3], "node-0", "Failed")
    assert {request.tenant for request in cluster.woken} == {"b"}
    assert reasons(cluster, second) == [""] * 4


def test_devices_are_counted_node_by_node() -> None:
    cluster = Cluster(nodes=2, gpus=3)
    assert reasons(cluster, a_gang(size=3, gpus=2))[-1] == holds.TOO_LARGE
    assert reasons(cluster, a_gang("b", size=2, gpus=2))[-1] == ""


def test_enough_devices_in_pieces_are_not_enough() -> None:
    cluster = Cluster(nodes=2, gpus=4)
    running = a_candidate("a", gpus=3)
    cluster.ask(running)
    cluster.show(running, "node-0", "Running")
    assert reasons(cluster, a_gang("b", size=2, gpus=2, name="fits"))[-1] == ""
    other = Cluster(nodes=2, gpus=4)
    for index, gpus in enumerate((3, 1)):
        pod = a_candidate("a", f"p{index}", gpus=gpus)
        other.ask(pod)
        other.show(pod, f"node-{index}", "Running")
    assert reasons(other, a_gang("b", size=2, gpus=2))[-1] == holds.NO_DEVICES  # 1 and 3 are free


def test_a_gang_larger_than_the_cluster_blocks_nobody_and_goes_when_the_cluster_has_grown() -> None:
    cluster = Cluster(nodes=1)
    giant = a_gang("a", size=5)
    assert reasons(cluster, giant)[-1] == holds.TOO_LARGE
    assert reasons(cluster, a_gang("b", size=2))[-1] == ""
    assert cluster.ask(a_candidate("c")) is None
    cluster.woken.clear()
    cluster.node("node-1", 8)
    cluster.settle()
    assert {request.tenant for request in cluster.woken} == {"a"}
    assert reasons(cluster, giant)[-1] == ""


def test_pods_of_their_own_go_down_although_nothing_is_free_but_not_before_a_gang() -> None:
    cluster = Cluster(nodes=1)
    assert reasons(cluster, [a_candidate("a", f"p{index}") for index in range(3)]) == [""] * 3
    single = a_candidate("a", "p3", gpus=4)
    assert cluster.ask(single) is None  # it waits in the super cluster, as anywhere
    gang = a_gang("b", size=2)
    assert reasons(cluster, gang)[-1] == holds.NO_DEVICES
    late = a_candidate("c", gpus=4)
    assert cluster.ask(late) is not None
    for pod in gang:
        cluster.admission.withdraw(pod.request)
    cluster.settle()
    assert late.request in cluster.woken


def test_a_gang_that_waited_long_lets_nobody_pass() -> None:
    cluster = Cluster(nodes=2)
    running = [a_candidate("a", f"p{index}") for index in range(5)]
    reasons(cluster, running)
    for index, pod in enumerate(running):
        cluster.show(pod, f"node-{index // 4}", "Running")
    large = a_gang("b", size=8)
    assert reasons(cluster, large)[-1] == holds.NO_DEVICES
    assert reasons(cluster, a_gang("c", size=2))[-1] == ""
    cluster.now += 61
    assert reasons(cluster, a_gang("d", size=1, name="x"))[-1] == holds.NO_DEVICES


def test_tenants_come_in_turn_by_what_they_hold() -> None:
    cluster = Cluster(nodes=1, gpus=4)
    first = a_gang("a", size=4, name="one")
    reasons(cluster, first)
    reasons(cluster, first)
    for pod in first:
        cluster.show(pod, "node-0", "Running")
    more = a_gang("a", size=2, name="two")
    reasons(cluster, more)
    other = a_gang("b", size=2, name="other")
    reasons(cluster, other)
    cluster.woken.clear()
    for pod in first[:2]:
        cluster.show(pod, "node-0", "Succeeded")
    assert {request.tenant for request in cluster.woken} == {"b"}


def test_quota_first_and_all_of_a_gang_or_none() -> None:
    cluster = Cluster()
    ledger = cluster.admission.open("a", {f"requests.{GPU}": 5 * NANOS})
    assert ledger is not None
    assert cluster.ask(a_candidate()).reason == holds.OVER_QUOTA  # type: ignore[union-attr]
    cluster.admission.known("a")
    cluster.settle()
    assert cluster.ask(a_candidate()) is None
    single = a_candidate("a", "second")
    assert cluster.ask(single) is None
    gang = a_gang("a")
    assert reasons(cluster, gang)[-1] == holds.OVER_QUOTA
    assert ledger.used[f"requests.{GPU}"] == 2 * NANOS
    cluster.woken.clear()
    cluster.show(single, "node-0", "")
    assert len(cluster.woken) == 4
    assert reasons(cluster, gang) == [""] * 4
    assert ledger.used[f"requests.{GPU}"] == 5 * NANOS


def test_a_gang_that_has_begun_is_completed_before_all_others() -> None:
    """As after a restart: two of four are down, the other two are asked about last."""
    cluster = Cluster(nodes=1)
    gang = a_gang()
    for pod in gang[:2]:
        cluster.show(pod, "node-0", "Running")
    assert reasons(cluster, gang[2:]) == ["", ""]


def test_after_a_restart_nobody_takes_the_room_of_a_gang_that_has_begun() -> None:
    cluster = Cluster(nodes=1)
    gang = a_gang()
    for pod in gang[:2]:
        cluster.show(pod, "node-0", "Running")
    ledger = cluster.admission.open("a", {"pods": 4 * NANOS})
    cluster.admission.keep_room()
    assert ledger is not None
    for pod in gang[:2]:
        cluster.show(pod, "node-0", "Running")
    cluster.admission.known("a")
    assert reasons(cluster, a_gang("b", size=2))[-1] == holds.NO_DEVICES
    assert reasons(cluster, [a_candidate(gpus=0)]) == [holds.OVER_QUOTA]
    assert reasons(cluster, gang[2:]) == ["", ""]
    assert ledger.used["pods"] == 4 * NANOS


def test_the_room_is_given_to_others_if_the_rest_does_not_come() -> None:
    cluster = Cluster(nodes=1)
    for pod in a_gang()[:2]:
        cluster.show(pod, "node-0", "Running")
    cluster.admission.keep_room()
    waiting = a_gang("b", size=2)
    assert reasons(cluster, waiting)[-1] == holds.NO_DEVICES
    cluster.woken.clear()
    cluster.admission.let_go("a")
    cluster.settle()
    assert {request.tenant for request in cluster.woken} == {"b"}


def test_a_pod_that_is_resized_while_it_waits_is_admitted_as_it_is_now() -> None:
    cluster = Cluster()
    ledger = cluster.admission.open("a", {f"requests.{GPU}": 3 * NANOS})
    cluster.admission.known("a")
    assert ledger is not None
    assert cluster.admission.ask(a_candidate(gpus=1)) is None
    assert cluster.admission.ask(a_candidate(gpus=3)) is None
    assert cluster.admission.ask(a_candidate(gpus=4)) is not None
    assert ledger.used.get(f"requests.{GPU}", 0) == 0


def test_a_member_that_goes_takes_its_gangs_reservation_along() -> None:
    cluster = Cluster(nodes=1)
    ledger = cluster.admission.open("b", {"pods": 4 * NANOS})
    cluster.admission.known("b")
    reasons(cluster, a_gang("a"))
    gang = a_gang("b")
    assert reasons(cluster, gang)[-1] == holds.NO_DEVICES
    assert ledger is not None
    assert ledger.used["pods"] == 4 * NANOS
    cluster.admission.withdraw(gang[0].request)
    assert ledger.used["pods"] == 0
    assert cluster.ask(gang[1]).reason == holds.INCOMPLETE  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [1, 2])
def test_fifty_gangs_of_fifty_tenants_on_sixty_devices(size: int) -> None:
    """The super cluster's scheduler binds one pod of each tenant in turn: the worst of all orders."""
    cluster = Cluster()
    gangs = [a_gang(f"tenant-{index}", gpus=size) for index in range(50)]
    pods = {pod.request: pod for gang in gangs for pod in gang}
    down: list[Candidate] = []
    asked = [pod for members in zip(*gangs, strict=True) for pod in members]
    while len(cluster.ended) < len(pods):
        while asked:
            down += [pod for pod in asked if pod not in down and cluster.ask(pod) is None]
            asked = [pods[request] for request in cluster.woken]
            cluster.woken.clear()
        cluster.bind_in_turn(down)
        for gang in gangs:
            begun = {pod.request in cluster.bound or pod.request in cluster.ended for pod in gang}
            assert len(begun) == 1, f"the gang of {gang[0].request.tenant} is partly bound"
        assert cluster.bound, "nothing runs, and not all have run"
        for request in list(cluster.bound)[:3]:  # some pods end, not whole gangs
            cluster.end(pods[request])
        asked = [pods[request] for request in cluster.woken]
        cluster.woken.clear()

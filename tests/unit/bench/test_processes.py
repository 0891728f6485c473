"""CPU and memory add up by program."""

import os

import pytest

from tests.bench import processes
from tests.bench.processes import MIB, Usage, anonymous_mib, cpu_seconds, restarted, rss_mib
from vcluster.supervision import ProcessStatus


def usage(program: str, pid: int, cpu: float = 0.0, rss: int = 0, shared: int = 0) -> Usage:
    """What a process has used."""
    return Usage(program, pid, cpu, rss * MIB, shared * MIB)


def by_pid(*usages: Usage) -> dict[int, Usage]:
    """As a measurement."""
    return {one.pid: one for one in usages}


def test_processes_of_one_program_add_up() -> None:
    before = by_pid(usage("tenant kube-apiserver", 1, 10.0), usage("tenant kube-apiserver", 2, 5.0))
    after = by_pid(usage("tenant kube-apiserver", 1, 11.0), usage("tenant kube-apiserver", 2, 7.0))
    assert cpu_seconds(before, after) == {"tenant kube-apiserver": 3.0}


def test_a_process_that_was_started_between_counts_whole_and_the_ended_one_is_named() -> None:
    before = by_pid(usage("syncer", 1, 10.0))
    after = by_pid(usage("syncer", 2, 0.5))
    assert cpu_seconds(before, after) == {"syncer": 0.5}
    assert restarted(before, after) == ["syncer"]
    assert restarted(after, after) == []


def test_memory_is_the_mean_of_one_process() -> None:
    usages = by_pid(usage("a", 1, rss=100, shared=40), usage("a", 2, rss=200, shared=40))
    assert rss_mib(usages) == {"a": 150.0}
    assert anonymous_mib(usages) == {"a": 110.0}


@pytest.mark.parametrize(
    ("group", "name", "program"),
    [
        ("super", "syncer", "syncer"),
        ("super", "etcd", "etcd"),
        ("super", "kube-apiserver", "super kube-apiserver"),
        ("super", "kube-controller-manager", "super kube-controller-manager"),
        ("team-a-1f3a9c2e", "kube-apiserver", "tenant kube-apiserver"),
        ("team-a-1f3a9c2e", "kube-controller-manager", "tenant kube-controller-manager"),
    ],
)
def test_a_program_is_named_by_whose_it_is(group: str, name: str, program: str) -> None:
    assert processes.program_of(group, name) == program


def test_live_processes_are_measured_and_ended_ones_passed_over() -> None:
    def status(name: str, pid: int) -> ProcessStatus:
        return ProcessStatus("super", name, "RUNNING", pid, 0.0, 0, "")

    found = processes.measure([status("syncer", os.getppid()), status("etcd", 0)])
    assert found[os.getppid()].program == "syncer"
    assert found[os.getpid()].program == processes.GENERATOR
    assert found[os.getpid()].rss_bytes > found[os.getpid()].shared_bytes > 0
    assert len(found) == 2

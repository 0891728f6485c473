"""From findings to figures, and from figures to what is published."""

import json

import pytest

from tests.bench import report
from tests.bench.audit import Calls
from tests.bench.figures import Figures, flatten
from tests.bench.goals import goals
from tests.bench.hung import Hung
from tests.bench.memory import Memory
from tests.bench.node import Pairs, RealNode
from tests.bench.options import Options
from tests.bench.phases import Result
from tests.bench.processes import MIB, Usage
from tests.bench.run import Findings

REQUIRED = (
    "syncer_cpu_ms_per_pod",
    "syncer_rss_mib",
    "syncer_kib_per_pod",
    "burst_ratio",
    "pods_per_second_direct",
    "pods_per_second_tenants",
    "create_to_running_p50_s",
    "create_to_running_p99_s",
    "delay_down_p50_ms",
    "delay_down_p99_ms",
    "delay_up_p50_ms",
    "delay_up_p99_ms",
    "super_calls_per_pod",
    "tenant_calls_per_pod",
    "stuck_terminating",
    "tenant_ready_s",
    "hung_tenant_p99_ratio",
    "first_log_byte_added_ms",
    "exec_added_ms",
    "log_ratio",
    "log_agent_mb_per_cpu_s",
    "real_create_to_running_ratio",
)

WHERE: Figures = {
    "date": "2026-11-25T10:00:00Z",
    "machine": "2 cores",
    "commit": "abc1234",
    "kubernetes_version": "v1.37.2",
    "load_average_before": 0.1,
}


def result(seconds: float, stuck: int = 0) -> Result:
    """A load of ten pods."""
    return Result(
        name="x",
        pods=10,
        latencies=[seconds / 10 * n for n in range(1, 11)],
        seconds_to_running=seconds,
        stuck=stuck,
        cpu_running={"syncer": 0.01, "etcd": 0.1},
        cpu_life={"syncer": 0.02, "etcd": 0.18, "load generator": 9.0},
    )


def memory() -> Memory:
    """Two tenants, 1,000 pods."""
    usages = [{1: Usage("syncer", 1, 0, mib * MIB, 10 * MIB)} for mib in (40, 42, 62)]
    return Memory(
        bare=usages[0],
        idle=usages[1],
        tenants=2,
        before=50.0,
        waves=[(500, 60.0), (1000, 62.0)],
        full=usages[2],
    )


def real_node() -> RealNode:
    """The tenant's way takes longer by half, and the agent as much CPU as the kubelet."""
    return RealNode(
        first_log_byte=Pairs([0.010, 0.020, 0.030], [0.015, 0.030, 0.045]),
        execute=Pairs([0.1], [0.15]),
        log_rate=Pairs([60e6], [30e6]),
        agent_rate=90e6,
        kubelet_rate=90e6,
        start=Pairs([1.0], [1.05]),
    )


def findings() -> Findings:
    """A run."""
    return Findings(
        memory=memory(),
        tenant_ready=[4.0, 5.0, 9.0],
        direct=[result(1.0), result(1.0)],
        tenants=[result(2.0, stuck=1), result(2.0)],
        paced_direct=result(1.0),
        paced_tenants=result(1.0, stuck=2),
        super_calls=Calls({("create", "pods"): 20, ("create", "events"): 20}),
        tenant_calls=Calls({("patch", "pods/status"): 60}),
        status_writes=60,
        down=[0.001] * 99 + [0.5] * 1,
        up=[0.002] * 98 + [0.5] * 2,
        hung=Hung(
            baseline=result(1.0), neighbour=result(1.1), waiting=5, recovery_seconds=2, lost=0
        ),
        real_node=real_node(),
    )


@pytest.fixture
def figures() -> Figures:
    """Of that run."""
    return WHERE | flatten(findings(), Options(pods=10, tenants=2, rounds=2))


def test_every_required_key_is_there_and_flat(figures: Figures) -> None:
    assert [key for key in REQUIRED if key not in figures] == []
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert not any(isinstance(value, dict | list) for value in figures.values())


def test_figures_are_computed(figures: Figures) -> None:
    expected = {
        "burst_ratio": 0.5,
        "pods_per_second_direct": 10.0,
        "syncer_cpu_ms_per_pod": 2.0,
        "syncer_cpu_ms_per_pod_until_running": 1.0,
        "syncer_cpu_share": 0.1,
        "create_to_running_p50_s": 1.0,
        "create_to_running_p99_s": 2.0,
        "delay_down_p99_ms": 1.0,
        "delay_up_p99_ms": 500.0,
        "super_calls_per_pod": 1.0,
        "super_calls_per_pod_with_events": 2.0,
        "tenant_calls_per_pod": 3.0,
        "status_writes_per_pod": 3.0,
        "stuck_terminating": 3,
        "tenant_ready_s": 5.0,
        "tenant_ready_max_s": 9.0,
        "hung_tenant_p99_ratio": 1.1,
        "syncer_rss_mib": 62.0,
        "syncer_kib_per_tenant": 1024.0,
        "syncer_kib_per_pod": 20.48,
        "syncer_kib_per_more_pod": 4.096,
        "cpu_ms_per_pod.burst_tenants.etcd": 18.0,
        "cpu_ms_per_pod_until_running.paced_direct.etcd": 10.0,
        "anonymous_mib.full.syncer": 52.0,
        "first_log_byte_added_ms": 4.0,
        "exec_added_ms": 20.0,
        "log_ratio": 0.5,
        "log_agent_mb_per_cpu_s": 90.0,
        "real_create_to_running_ratio": 1.05,
    }
    assert {key: figures[key] for key in expected} == pytest.approx(expected)


def test_what_could_not_be_measured_is_null_and_reaches_no_goal() -> None:
    empty = findings()
    empty.down = []
    empty.hung = None
    found = flatten(empty, Options(pods=10, tenants=2, rounds=2))
    assert found["delay_down_p50_ms"] is None
    [goal] = [goal for goal in goals(found) if goal.key == "hung_tenant_p99_ratio"]
    assert goal.reached(found[goal.key]) is False


def test_without_a_real_node_the_reason_is_told_and_no_goal_is_missed() -> None:
    elsewhere = findings()
    elsewhere.real_node = RealNode(skipped="real nodes need Linux, and this is Plan 9")
    found = WHERE | flatten(elsewhere, Options(pods=10, tenants=2, rounds=2))
    assert found["exec_added_ms"] is None
    assert "real_create_to_running_ratio" not in {goal.key for goal in goals(found)}
    assert "No real node: real nodes need Linux" in report.markdown(found, "make bench")


def test_the_agent_may_spend_as_much_on_a_log_as_the_kubelet(figures: Figures) -> None:
    for kubelet, reached in ((90.0, True), (150.0, False), (None, False)):
        by_key = {goal.key: goal for goal in goals(figures | {"log_kubelet_mb_per_cpu_s": kubelet})}
        assert by_key["log_agent_mb_per_cpu_s"].reached(90.0) is reached


def test_goals_look_in_the_right_direction() -> None:
    by_key = {goal.key: goal for goal in goals({"status_writes_per_pod": 3.0})}
    assert by_key["burst_ratio"].reached(0.61) is True
    assert by_key["burst_ratio"].reached(0.59) is False
    assert by_key["syncer_rss_mib"].reached(121) is False
    assert by_key["stuck_terminating"].reached(0) is True
    assert by_key["stuck_terminating"].reached(1) is False
    assert by_key["tenant_calls_per_pod"].reached(6.0) is True
    assert by_key["tenant_calls_per_pod"].reached(7.0) is False
    assert by_key["pods_per_second_direct"].reached(1.0) is None


def test_every_goal_has_its_figure(figures: Figures) -> None:
    wanted = [goal.key for goal in goals(figures)] + ["syncer_cpu_ms_per_pod_paced"]
    assert [key for key in wanted if not isinstance(figures.get(key), int | float)] == []


def test_the_report_says_what_was_not_reached(figures: Figures) -> None:
    line = next(line for line in report.text(figures).splitlines() if "slowest" in line)
    assert line.split()[-1] == "no"
    text = report.markdown(figures, "make bench")
    assert "| tenant ready, slowest | 9 s | ≤ 6 | **no** |" in text
    assert "| create pods | 1 | – |" in text
    assert "2026-11-25T10:00:00Z" in text


def test_only_the_generated_part_of_the_document_is_replaced(figures: Figures) -> None:
    generated = report.markdown(figures, "make bench")
    document = f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nThe end.\n"
    once = report.merged(document, generated)
    assert once.startswith("# Title\n\n")
    assert once.endswith("\n\nThe end.\n")
    assert "old" not in once
    assert report.merged(once, generated) == once
    with pytest.raises(ValueError, match="lacks the lines"):
        report.merged("# Title\n", generated)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (3.14159, "3.14"),
        (0.05, "0.05"),
        (1234.5, "1234"),
        (None, "not measured"),
    ],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert report.number(value) == text


def test_a_number_that_is_none_is_not_published() -> None:
    broken = findings()
    broken.direct = [Result(name="x", pods=10)]
    assert flatten(broken, Options(pods=10, tenants=2))["burst_ratio"] is None

"""The goals, and whether figures reach them. Pure."""

import operator
from dataclasses import dataclass

from tests.bench.figures import Figures

TOLERANCE = 0.05
"""Of calls per pod: a retried or patrolling call in twenty pods is no change of design."""
LOG_MB_PER_CPU_S = 200.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One published figure."""

    key: str
    title: str
    unit: str = ""
    first: float | None = None
    """The first goal; None where there is none."""
    later: str = ""
    """The design's budget, or what a peer reaches: where it goes from here."""
    at_least: bool = False
    """Whether more is better."""

    def reached(self, value: float | int | str | None) -> bool | None:
        """None where there is no goal; a figure that could not be measured did not reach it."""
        if self.first is None:
            return None
        if not isinstance(value, int | float):
            return False
        compare = operator.ge if self.at_least else operator.le
        return bool(compare(value, self.first))


def _real_node(figures: Figures) -> list[Goal]:
    """A log passes the kubelet first: what that spends on it is as much as may be asked of us."""
    kubelet = figures.get("log_kubelet_mb_per_cpu_s")
    limit = min(LOG_MB_PER_CPU_S, kubelet) if isinstance(kubelet, int | float) else LOG_MB_PER_CPU_S
    return [
        Goal("first_log_byte_direct_p50_ms", "real node, first byte of a log, direct", "ms"),
        Goal("first_log_byte_tenant_p50_ms", "the same, tenant", "ms"),
        Goal("first_log_byte_added_ms", "tenant − 1.3 × direct", "ms", 5),
        Goal("exec_direct_p50_ms", "real node, a command executed, direct", "ms"),
        Goal("exec_tenant_p50_ms", "the same, tenant", "ms"),
        Goal("exec_added_ms", "tenant − 1.3 × direct", "ms", 5),
        Goal("log_direct_mb_per_s", "real node, a log of 8 MB, direct", "MB/s"),
        Goal("log_tenant_mb_per_s", "the same, tenant", "MB/s"),
        Goal("log_kubelet_mb_per_cpu_s", "the same by CPU of the kubelet", "MB/s"),
        Goal(
            "log_agent_mb_per_cpu_s",
            "the same by CPU of the node agent",
            "MB/s",
            round(limit, 1),
            "200, or the kubelet's",
            True,
        ),
        Goal("real_direct_create_to_running_p50_s", "real node, create→Running, direct", "s"),
        Goal("real_create_to_running_p50_s", "the same, tenant", "s"),
        Goal("real_create_to_running_ratio", "tenant ÷ direct", "", 1.1),
    ]


def goals(figures: Figures) -> list[Goal]:
    """All goals; that of the tenant's calls depends on how often the kubelets wrote a status."""
    writes = figures.get("status_writes_per_pod")
    tenant_calls = 3 + float(writes) if isinstance(writes, int | float) else None
    return [
        Goal(
            "syncer_cpu_ms_per_pod",
            "syncer, CPU per pod life in a burst",
            "ms",
            4,
            "≤ 2, then ≤ 1.2; CAPN 3.8, paper 13.8, vcluster 20",
        ),
        Goal(
            "syncer_cpu_ms_per_pod_paced",
            "the same at a pace",
            "ms",
            later="≤ 4, then ≤ 2.5",
        ),
        Goal("syncer_cpu_share", "syncer's share of all CPU in a burst", "", later="≤ 0.10"),
        Goal("syncer_rss_mib", "syncer, memory with all pods", "MiB", 120),
        Goal("syncer_rss_bare_mib", "syncer, memory without tenants", "MiB", later="≤ 60"),
        Goal(
            "syncer_kib_per_pod",
            "syncer, growth per pod",
            "KiB",
            later="≤ 2; CAPN 17, paper 40",
        ),
        Goal("syncer_kib_per_more_pod", "the same beyond the first wave", "KiB", later="≤ 2"),
        Goal("syncer_kib_per_tenant", "syncer, growth per idle tenant", "KiB", later="≤ 150"),
        Goal("pods_per_second_direct", "burst, direct", "pods/s"),
        Goal("pods_per_second_tenants", "burst, through the tenants", "pods/s"),
        Goal("burst_ratio", "tenants ÷ direct", "", 0.6, "≥ 0.87 with cores to spare", True),
        Goal("create_to_running_p50_s", "create→Running in the burst, p50", "s"),
        Goal("create_to_running_p99_s", "create→Running in the burst, p99", "s"),
        Goal("paced_create_to_running_p50_s", "create→Running at a pace, p50", "s"),
        Goal("paced_create_to_running_p99_s", "create→Running at a pace, p99", "s"),
        Goal("delay_down_p50_ms", "delay added downward, p50", "ms", later="≤ 1.5"),
        Goal("delay_down_p99_ms", "delay added downward, p99", "ms", later="≤ 5"),
        Goal("delay_up_p50_ms", "delay added upward, p50", "ms", later="≤ 1.5"),
        Goal("delay_up_p99_ms", "delay added upward, p99", "ms", later="≤ 5"),
        Goal("super_calls_per_pod", "calls to the super cluster per pod", "", 4 + TOLERANCE),
        Goal(
            "tenant_calls_per_pod",
            "calls to the tenant per pod (3 + status writes)",
            "",
            None if tenant_calls is None else round(tenant_calls + TOLERANCE, 2),
        ),
        Goal("stuck_terminating", "pods stuck in Terminating", "", 0, "CAPN 28 of 60"),
        Goal("tenant_ready_s", "tenant ready, median", "s", 6, "Kamaji 16, k3k 73"),
        Goal("tenant_ready_max_s", "tenant ready, slowest", "s", 6),
        Goal(
            "hung_tenant_p99_ratio",
            "neighbour's p99, one tenant hung ÷ all well",
            "",
            1.2,
            "CAPN 60–83 s",
        ),
        *([] if figures.get("real_node_skipped") else _real_node(figures)),
    ]

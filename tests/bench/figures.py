"""From what was measured to the figures that are published: flat keys, numbers. Pure."""

import math
from statistics import mean, median

from tests.bench.node import RealNode
from tests.bench.options import Options
from tests.bench.percentiles import p50, p99, percentile
from tests.bench.phases import Result, median_rate
from tests.bench.processes import GENERATOR, SYNCER, Usages, anonymous_mib, rss_mib
from tests.bench.run import Findings

ALLOWED_LATENCY = 1.3
"""Times the direct one; what is more is reported as added."""

Figures = dict[str, float | int | str | bool | None]


def flatten(findings: Findings, options: Options) -> Figures:
    """Every figure by its key; None where nothing could be measured."""
    figures: Figures = {
        **_speed(findings),
        **_cost(findings),
        **_memory(findings),
        **_calls(findings, options),
        **_neighbour(findings),
        **_real_node(findings.real_node),
        "tenant_ready_s": median(findings.tenant_ready),
        "tenant_ready_max_s": max(findings.tenant_ready),
        "stuck_terminating": sum(result.stuck for result in _through_tenants(findings)),
        "not_running": sum(result.not_running for result in _all(findings)),
        "refused": sum(result.refused for result in _all(findings)),
        "restarted": ", ".join(sorted({p for r in _all(findings) for p in r.restarted})),
        "others_cores": mean(result.others_cores for result in _all(findings)),
        "pods": options.pods,
        "tenants": options.tenants,
        "rounds": options.rounds,
        "paced_rate": options.paced_rate,
        "memory_pods": options.memory_pods,
        "quick": options.quick,
    }
    return {name: _plain(value) for name, value in figures.items()}


def _speed(found: Findings) -> Figures:
    direct, tenants = median_rate(found.direct), median_rate(found.tenants)
    burst = [seconds for result in found.tenants for seconds in result.latencies]
    burst_direct = [seconds for result in found.direct for seconds in result.latencies]
    paced, paced_direct = found.paced_tenants.latencies, found.paced_direct.latencies
    return {
        "burst_ratio": tenants / direct if direct else math.nan,
        "pods_per_second_direct": direct,
        "pods_per_second_tenants": tenants,
        "create_to_running_p50_s": p50(burst),
        "create_to_running_p99_s": p99(burst),
        "direct_create_to_running_p50_s": p50(burst_direct),
        "direct_create_to_running_p99_s": p99(burst_direct),
        "paced_create_to_running_p50_s": p50(paced),
        "paced_create_to_running_p99_s": p99(paced),
        "paced_direct_create_to_running_p50_s": p50(paced_direct),
        "paced_direct_create_to_running_p99_s": p99(paced_direct),
        "gone_direct_s": median(result.seconds_to_gone for result in found.direct),
        "gone_tenants_s": median(result.seconds_to_gone for result in found.tenants),
        "delay_down_p50_ms": p50(found.down) * 1000,
        "delay_down_p99_ms": p99(found.down) * 1000,
        "delay_up_p50_ms": p50(found.up) * 1000,
        "delay_up_p99_ms": p99(found.up) * 1000,
    }


def _cost(found: Findings) -> Figures:
    loads = {
        "burst_direct": found.direct,
        "burst_tenants": found.tenants,
        "paced_direct": [found.paced_direct],
        "paced_tenants": [found.paced_tenants],
    }
    figures: Figures = {
        "syncer_cpu_ms_per_pod": mean(r.cpu_ms_per_pod(SYNCER) for r in found.tenants),
        "syncer_cpu_ms_per_pod_until_running": _until_running(found.tenants),
        "syncer_cpu_ms_per_pod_paced": found.paced_tenants.cpu_ms_per_pod(SYNCER),
        "syncer_cpu_share": _share(found.tenants),
    }
    for name, results in loads.items():
        programs = sorted({program for result in results for program in result.cpu_life})
        for program in programs:
            value = mean(result.cpu_ms_per_pod(program) for result in results)
            figures[f"cpu_ms_per_pod.{name}.{program}"] = value
            value = mean(r.cpu_running.get(program, 0.0) / r.pods * 1000 for r in results)
            figures[f"cpu_ms_per_pod_until_running.{name}.{program}"] = value
    return figures


def _until_running(results: list[Result]) -> float:
    return mean(result.cpu_running.get(SYNCER, 0.0) / result.pods * 1000 for result in results)


def _share(results: list[Result]) -> float:
    """The syncer's part of the CPU that the whole system spent; the load generator is not of it."""
    spent = [(name, s) for r in results for name, s in r.cpu_life.items() if name != GENERATOR]
    total = sum(seconds for _, seconds in spent)
    return sum(seconds for name, seconds in spent if name == SYNCER) / total if total else math.nan


def _memory(found: Findings) -> Figures:
    memory = found.memory
    figures: Figures = {
        "syncer_rss_mib": memory.waves[-1][1],
        "syncer_rss_bare_mib": rss_mib(memory.bare)[SYNCER],
        "syncer_rss_idle_mib": rss_mib(memory.idle)[SYNCER],
        "syncer_rss_after_loads_mib": memory.before,
        "syncer_kib_per_pod": memory.kib_per_pod,
        "syncer_kib_per_more_pod": memory.kib_per_more_pod,
        "syncer_kib_per_tenant": memory.kib_per_tenant,
        "memory_not_running": memory.not_running,
    }
    points: dict[str, Usages] = {"idle": memory.idle, "full": memory.full}
    for name, usages in points.items():
        for program, mib in sorted(rss_mib(usages).items()):
            figures[f"rss_mib.{name}.{program}"] = mib
        for program, mib in sorted(anonymous_mib(usages).items()):
            figures[f"anonymous_mib.{name}.{program}"] = mib
    return figures


def _calls(found: Findings, options: Options) -> Figures:
    pods = options.pods * options.rounds
    figures: Figures = {
        "super_calls_per_pod": found.super_calls.per_pod(pods, events=False),
        "super_calls_per_pod_with_events": found.super_calls.per_pod(pods, events=True),
        "tenant_calls_per_pod": found.tenant_calls.per_pod(pods, events=False),
        "tenant_calls_per_pod_with_events": found.tenant_calls.per_pod(pods, events=True),
        "status_writes_per_pod": found.status_writes / pods,
    }
    for side, calls in (("super", found.super_calls), ("tenant", found.tenant_calls)):
        for call, value in calls.rows(pods).items():
            figures[f"{side}_calls_per_pod.{call}"] = value
    return figures


def _neighbour(found: Findings) -> Figures:
    if found.hung is None:
        return {"hung_tenant_p99_ratio": None}
    return {
        "hung_tenant_p99_ratio": found.hung.ratio,
        "hung_baseline_p99_s": p99(found.hung.baseline.latencies),
        "hung_neighbour_p99_s": p99(found.hung.neighbour.latencies),
        "hung_waiting_pods": found.hung.waiting,
        "hung_recovery_s": found.hung.recovery_seconds,
        "hung_lost_pods": found.hung.lost,
    }


def _real_node(found: RealNode) -> Figures:
    """None throughout if there was none."""
    figures: Figures = {"real_node_skipped": found.skipped}
    for name, pairs in (("first_log_byte", found.first_log_byte), ("exec", found.execute)):
        direct, tenant = p50(pairs.direct) * 1000, p50(pairs.tenant) * 1000
        figures[f"{name}_direct_p50_ms"] = direct
        figures[f"{name}_tenant_p50_ms"] = tenant
        figures[f"{name}_direct_p90_ms"] = percentile(pairs.direct, 0.9) * 1000
        figures[f"{name}_tenant_p90_ms"] = percentile(pairs.tenant, 0.9) * 1000
        figures[f"{name}_added_ms"] = tenant - ALLOWED_LATENCY * direct
    log_direct, log_tenant = p50(found.log_rate.direct), p50(found.log_rate.tenant)
    direct, tenant = p50(found.start.direct), p50(found.start.tenant)
    return figures | {
        "log_direct_mb_per_s": log_direct / 1e6,
        "log_tenant_mb_per_s": log_tenant / 1e6,
        "log_ratio": log_tenant / log_direct,
        "log_agent_mb_per_cpu_s": found.agent_rate / 1e6 or math.nan,
        "log_kubelet_mb_per_cpu_s": found.kubelet_rate / 1e6 or math.nan,
        "real_direct_create_to_running_p50_s": direct,
        "real_create_to_running_p50_s": tenant,
        "real_create_to_running_ratio": tenant / direct,
    }


def _all(found: Findings) -> list[Result]:
    return [*found.direct, found.paced_direct, *_through_tenants(found)]


def _through_tenants(found: Findings) -> list[Result]:
    hung = [found.hung.baseline, found.hung.neighbour] if found.hung else []
    return [*found.tenants, found.paced_tenants, *hung]


def _plain(value: float | str | None) -> float | int | str | bool | None:
    """Rounded; None for what is not a number, which JSON cannot say."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) or math.isinf(value) else round(value, 4)

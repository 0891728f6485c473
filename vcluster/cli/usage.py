"""What tenants use, gathered from where it is known; what cannot be asked is left out."""

import http.client
import re
from collections.abc import Iterable, Mapping, Sequence

from kube.quantities import nanos
from vcluster.api import TENANT_LABEL, Object
from vcluster.cli.facts import gpus, is_finished, tenant_row
from vcluster.local.components import syncers
from vcluster.local.state import ADDRESS, State
from vcluster.local.status import Measured, status
from vcluster.supervision import SupervisionError

METRICS_SECONDS = 1.0

_DELAY = re.compile(r"syncer_tenant_delay_seconds\{([^}]*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Delays = Mapping[tuple[str, str], float]
"""Seconds, by tenant key and direction."""


def rows(
    tenants: Iterable[Object],
    pods: Sequence[Object],
    processes: Sequence[Measured],
    delays: Delays,
) -> list[dict[str, object]]:
    """One row for each tenant. Pure."""
    by_key: dict[str, list[Object]] = {}
    for pod in pods:
        key = (pod["metadata"].get("labels") or {}).get(TENANT_LABEL, "")
        by_key.setdefault(key, []).append(pod)
    return [_row(tenant, by_key, processes, delays) for tenant in tenants]


def processes_of(state: State) -> list[Measured]:
    """The processes of this machine; none if there is no supervisor here."""
    if not state.supervisor_directory.is_dir():
        return []
    try:
        return status(state)
    except (SupervisionError, ValueError):
        return []


def delays_of(state: State) -> Delays:
    """What the syncers of this machine have measured; nothing of one that cannot be asked."""
    found: dict[tuple[str, str], float] = {}
    for syncer in syncers(state.read().options):
        found |= _delays_by(state, syncer)
    return found


def _delays_by(state: State, syncer: str) -> Delays:
    try:
        port = int(state.port_file(syncer).read_text())
        connection = http.client.HTTPConnection(ADDRESS, port, timeout=METRICS_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return parse_delays(connection.getresponse().read().decode())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def parse_delays(text: str) -> Delays:
    """From the syncer's metrics. Pure."""
    found = {}
    for labels, value in _DELAY.findall(text):
        named = dict(_LABEL.findall(labels))
        found[named.get("tenant", ""), named.get("direction", "")] = float(value)
    return found


def _row(
    tenant: Object,
    pods: Mapping[str, Sequence[Object]],
    processes: Sequence[Measured],
    delays: Delays,
) -> dict[str, object]:
    row = tenant_row(tenant, None)
    key = str(row["key"] or "")
    own = [pod for pod in pods.get(key, ()) if not is_finished(pod)] if key else []
    running = [pod for pod in own if (pod.get("status") or {}).get("phase") == "Running"]
    plane = [process for process in processes if process.group == key and process.pid]
    return {
        "namespace": row["namespace"],
        "name": row["name"],
        "key": key or None,
        "phase": row["phase"],
        "pods": len(own),
        "pods_running": len(running),
        "gpus_requested": sum(map(gpus, own)),
        "gpus_used": sum(map(gpus, running)),
        "memory_mib": round(sum(process.memory_mib for process in plane), 1) if plane else None,
        "cpu_percent": round(sum(process.cpu_percent for process in plane), 1) if plane else None,
        "delay_down_ms": _milliseconds(delays.get((key, "down"))),
        "delay_up_ms": _milliseconds(delays.get((key, "up"))),
        "quota": _quota((tenant.get("status") or {}).get("quota") or {}),
        "datastore": datastore(tenant.get("status") or {}),
    }


def _quota(status: Mapping[str, Mapping[str, str]]) -> list[str] | None:
    """What is used of each limit, such as ``pods 3/500``, the fullest first."""
    hard, used = status.get("hard") or {}, status.get("used") or {}

    def fullness(name: str) -> float:
        limit = nanos(hard[name])
        return nanos(used.get(name, "0")) / limit if limit else 1.0

    names = sorted(sorted(hard), key=fullness, reverse=True)
    return [f"{name} {used.get(name, '0')}/{hard[name]}" for name in names] or None


def datastore(status: Object) -> str | None:
    """What is used of the share, such as ``812/100000 objects, 1.2Mi/512Mi``."""
    used = status.get("datastore") or {}
    limit = ((status.get("effective") or {}).get("quota") or {}).get("datastore") or {}
    if not used or not limit:
        return None
    return f"{used['objects']}/{limit['objects']} objects, {used['size']}/{limit['size']}"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)

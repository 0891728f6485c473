"""``/stats/summary``: the tenant's pods, and of the node the tenant's share. Pure.

The shape: k8s.io/kubelet, pkg/apis/stats/v1alpha1/types.go.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kube.objects import Object, ObjectKey, decode_object, encode
from node_agent.pods import SuperPod
from node_agent.reports.totals import Share
from vcluster import hosts_file

COUNTERS = {
    "cpu": ("usageCoreNanoSeconds",),
    "memory": ("pageFaults", "majorPageFaults"),
    "network": ("rxBytes", "rxErrors", "txBytes", "txErrors"),
}
GAUGES = {
    "cpu": ("usageNanoCores",),
    "memory": ("usageBytes", "workingSetBytes", "rssBytes"),
    "swap": ("swapUsageBytes",),
}


def filtered(body: bytes, pods: Mapping[ObjectKey, SuperPod], share: Share) -> bytes:
    """Raises msgspec.MsgspecError, which is a ValueError."""
    found = decode_object(body)
    own = [
        (mirror, _tenant_stats(stats, mirror))
        for stats in found.get("pods") or ()
        if (mirror := _mirror(stats, pods)) is not None
    ]
    return encode({"node": _node(found.get("node") or {}, own, share), "pods": [s for _, s in own]})


def _mirror(stats: Object, pods: Mapping[ObjectKey, SuperPod]) -> SuperPod | None:
    reference = stats.get("podRef") or {}
    mirror = pods.get(ObjectKey(reference.get("namespace", ""), reference.get("name", "")))
    return mirror if mirror and mirror.uid == reference.get("uid") else None


def _tenant_stats(stats: Object, mirror: SuperPod) -> Object:
    shown = stats | {
        "podRef": {
            "name": mirror.source.name,
            "namespace": mirror.source.namespace,
            "uid": mirror.source_uid,
        }
    }
    for part in ("containers", "volume"):
        if items := stats.get(part):
            shown[part] = [item for item in items if item.get("name") != hosts_file.NAME]
    if volumes := shown.get("volume"):
        shown["volume"] = [
            volume | {"pvcRef": volume["pvcRef"] | {"namespace": mirror.source.namespace}}
            if "pvcRef" in volume
            else volume
            for volume in volumes
        ]
    return shown


def _node(node: Object, own: Sequence[tuple[SuperPod, Object]], share: Share) -> Object:
    """Of the node itself only its name and when it started; all else is summed up over the pods."""
    shown: Object = {name: node[name] for name in ("nodeName", "startTime") if name in node}
    for part in sorted({*COUNTERS, *GAUGES}):
        if part not in node:
            continue
        total: Object = {"time": (node[part] or {}).get("time")}
        for name in COUNTERS.get(part, ()):
            by_pod = {mirror.uid: _number(stats, part, name) for mirror, stats in own}
            total[name] = int(share.counter(f"summary/{part}/{name}", by_pod))
        for name in GAUGES.get(part, ()):
            total[name] = int(sum(_number(stats, part, name) for _, stats in own))
        shown[part] = total
    return shown


def _number(stats: Object, part: str, name: str) -> float:
    value: Any = (stats.get(part) or {}).get(name)
    return float(value) if isinstance(value, int | float) else 0.0

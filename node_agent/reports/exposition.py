"""The metrics of the kubelet, in Prometheus' text format: the samples of the tenant's pods. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kube.objects import ObjectKey
from node_agent.pods import SuperPod
from node_agent.reports.totals import Share
from vcluster import hosts_file

PIECE = 256
"""So many lines at a time, so that other work has its turn."""

_NAMESPACE = re.compile(rb'[{,]namespace="([^"\\]*)"')
_LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_SAMPLE = re.compile(rb"([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)(?: (-?[0-9]+))?")

HOSTS = hosts_file.NAME.encode()

ABOUT_THE_SCRAPE = (b"scrape_error ", b"resource_scrape_error ")


def filtered(body: bytes, pods: Mapping[ObjectKey, SuperPod]) -> Iterator[bytes]:
    """The kept lines, some at a time; comments only where samples of theirs follow."""
    namespaces = {key.namespace.encode() for key in pods}
    comments: list[bytes] = []
    kept: list[bytes] = []
    for number, line in enumerate(_lines(body)):
        if line.startswith(b"#"):
            if line.startswith(b"# HELP"):
                comments = []
            comments.append(line)
        elif (shown := _shown(line, namespaces, pods)) is not None:
            kept += [*comments, shown]
            comments = []
        if number % PIECE == PIECE - 1:
            yield _joined(kept)
            kept = []
    yield _joined(kept)


def _lines(body: bytes) -> Iterator[bytes]:
    """Without a second copy of the whole."""
    begin = 0
    while begin < len(body):
        end = body.find(b"\n", begin)
        end = len(body) if end < 0 else end
        yield body[begin:end]
        begin = end + 1


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join([*lines, b""]) if lines else b""


def _shown(line: bytes, namespaces: set[bytes], pods: Mapping[ObjectKey, SuperPod]) -> bytes | None:
    if line.startswith(ABOUT_THE_SCRAPE):
        return line
    hint = _NAMESPACE.search(line)  # cheap; most lines are others'
    if hint is None or hint[1] not in namespaces:
        return None
    sample = _SAMPLE.fullmatch(line)
    if sample is None:
        return None
    labels = _labels(sample[2])
    mirror = pods.get(
        ObjectKey(labels.get(b"namespace", b"").decode(), labels.get(b"pod", b"").decode())
    )
    if labels.get(b"container") == HOSTS:
        return None
    if mirror is None or labels.get(b"pod_uid", mirror.uid.encode()) != mirror.uid.encode():
        return None
    labels[b"namespace"] = mirror.source.namespace.encode()
    if b"pod_uid" in labels:
        labels[b"pod_uid"] = mirror.source_uid.encode()
    if b"id" in labels:
        labels[b"id"] = _own_group(labels[b"id"], mirror)
    shown = b",".join(b'%s="%s"' % item for item in labels.items())
    stamp = b" " + sample[4] if sample[4] else b""
    return b"%s{%s} %s%s" % (sample[1], shown, sample[3], stamp)


def _labels(text: bytes) -> dict[bytes, bytes]:
    """The labels in their order; none if the text is not made of labels to its end."""
    labels: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        found = _LABEL.match(text, position)
        if found is None or found[1] in labels:
            return {}
        labels[found[1]] = found[2]
        position = found.end()
    return labels


def _own_group(group: bytes, mirror: SuperPod) -> bytes:
    """A control group's path with the tenant's UID of the pod; systemd's have underscores."""
    for before, after in ((b"-", b"-"), (b"-", b"_")):
        group = group.replace(
            mirror.uid.encode().replace(before, after),
            mirror.source_uid.encode().replace(before, after),
        )
    return group


NODE_TOTALS = {
    b"pod_cpu_usage_seconds_total": (
        b"node_cpu_usage_seconds_total",
        b"counter",
        b"Cumulative cpu time consumed by the tenant's pods on the node in core-seconds",
    ),
    b"pod_memory_working_set_bytes": (
        b"node_memory_working_set_bytes",
        b"gauge",
        b"Current working set of the tenant's pods on the node in bytes",
    ),
    b"pod_swap_usage_bytes": (
        b"node_swap_usage_bytes",
        b"gauge",
        b"Current swap usage of the tenant's pods on the node in bytes",
    ),
}


@dataclass(slots=True)
class _Total:
    by_pod: dict[str, float] = field(default_factory=dict)
    stamp: int = 0


def with_node_totals(pieces: Iterable[bytes], share: Share) -> Iterator[bytes]:
    """The pieces of ``/metrics/resource``, and what the tenant's pods use of the node together."""
    totals = {name: _Total() for name in NODE_TOTALS}
    for piece in pieces:
        for line in piece.splitlines():
            sample = _SAMPLE.fullmatch(line)
            if sample and (total := totals.get(sample[1])):
                labels = _labels(sample[2])
                pod = f"{labels[b'namespace'].decode()}/{labels[b'pod'].decode()}"
                total.by_pod[pod] = float(sample[3])
                total.stamp = max(total.stamp, int(sample[4] or 0))
        yield piece
    for source, (name, kind, text) in NODE_TOTALS.items():
        total = totals[source]
        if kind == b"counter":
            value = share.counter(name.decode(), total.by_pod)
        else:
            value = sum(total.by_pod.values())
        stamp = b" %d" % total.stamp if total.stamp else b""
        yield b"# HELP %s %s\n# TYPE %s %s\n%s %s%s\n" % (
            *(name, text, name, kind),
            *(name, repr(value).encode(), stamp),
        )

"""What the kubelet tells of all pods on the node, cut down to one tenant's own."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping

from kube.objects import ObjectKey
from node_agent.kubelet import Kubelet, KubeletFailed
from node_agent.pods import SuperPod
from node_agent.reports import exposition, podlist, summary
from node_agent.reports.totals import Totals
from node_agent.routes import Report

LARGEST_REPORT = 64 * 2**20
FRESH_SECONDS = 2.0
"""So long a report serves all tenants: they must not multiply the kubelet's work."""

JSON = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Reports:
    """Asks the kubelet, and keeps what it said for a moment."""

    def __init__(self, kubelet: Kubelet, node: str) -> None:
        self._kubelet = kubelet
        self._node = node
        self._totals = Totals()
        self._fetched: dict[Report, tuple[float, bytes]] = {}
        self._fetching: dict[Report, asyncio.Lock] = {report: asyncio.Lock() for report in Report}

    async def make(
        self, report: Report, tenant: str, pods: Mapping[ObjectKey, SuperPod]
    ) -> tuple[str, Iterator[bytes]]:
        """The content type and the body, piece by piece. Raises KubeletFailed."""
        body = await self._current(report)
        try:
            if report in (Report.PODS, Report.RUNNING_PODS):
                return JSON, podlist.filtered(body, pods)
            if report is Report.SUMMARY:
                return JSON, iter([summary.filtered(body, pods, self._totals.of(tenant))])
        except ValueError as error:
            raise KubeletFailed(f"{report}: not understood") from error
        pieces: Iterable[bytes] = exposition.filtered(body, pods)
        if report is Report.RESOURCE_METRICS:
            pieces = exposition.with_node_totals(pieces, self._totals.of(tenant))
        return TEXT, iter(pieces)

    async def _current(self, report: Report) -> bytes:
        async with self._fetching[report]:
            at, body = self._fetched.get(report, (0.0, b""))
            if not at or time.monotonic() - at > FRESH_SECONDS:
                self._fetched.pop(report, None)
                body = await self._kubelet.get(report.value, LARGEST_REPORT)
                self._fetched[report] = time.monotonic(), body
            return body

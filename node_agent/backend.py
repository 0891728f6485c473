"""Answers for a real node: streams from the kubelet, and reports of which others are filtered out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus

import structlog

from node_agent import http1, metrics
from node_agent.forwarding import checked, in_tenant_words, kubelet_request
from node_agent.http1 import Refused, Request, Response
from node_agent.kubelet import Kubelet, KubeletFailed
from node_agent.limits import Limits
from node_agent.pods import FollowedPods, SuperPod
from node_agent.reports import Reports
from node_agent.routes import PodRequest, Report
from node_agent.streams import Closed, TlsStream
from node_agent.tunnel import Body, heard, pass_on, relay, splice

log = structlog.get_logger(__name__)


class KubeletBackend:
    """See server.Backend."""

    def __init__(self, kubelet: Kubelet, pods: FollowedPods, limits: Limits, name: str) -> None:
        self._kubelet = kubelet
        self._pods = pods
        self._limits = limits
        self._name = name
        self._reports = Reports(kubelet, name)

    async def answer(
        self, tenant: str, request: Request, wanted: PodRequest | Report, client: TlsStream
    ) -> bool:
        """See server.Backend."""
        try:
            if isinstance(wanted, Report):
                return await self._report(tenant, wanted, client)
            pod = await self._pods.find(tenant, wanted.namespace, wanted.pod)
            return await self._forward(request, wanted, checked(pod, wanted), client)
        except KubeletFailed as error:
            metrics.KUBELET_FAILURES.inc()
            log.error("kubelet failed", tenant=tenant, reason=str(error))
            raise Refused(HTTPStatus.BAD_GATEWAY, "the node's kubelet does not answer") from error

    async def _report(self, tenant: str, report: Report, client: TlsStream) -> bool:
        async with self._limits.report(tenant):
            content_type, pieces = await self._reports.make(report, tenant, self._pods.of(tenant))
            await client.write(http1.answer_head(HTTPStatus.OK, content_type))
            async for piece in _in_turns(pieces):
                await client.write(piece)
        return False

    async def _forward(
        self, request: Request, wanted: PodRequest, pod: SuperPod, client: TlsStream
    ) -> bool:
        async with self._kubelet.connection() as kubelet:
            authorization = self._kubelet.authorization
            try:
                await kubelet.write(
                    kubelet_request(request, wanted, pod, self._name, authorization)
                )
                answered = await heard(client, http1.read_head(kubelet))
            except Closed as error:
                raise KubeletFailed(f"/{wanted.verb}: {error}") from error
            if answered is None:
                return False  # the client has gone
            head, begin = answered
            response = http1.parse_response(head)
            expected = HTTPStatus.SWITCHING_PROTOCOLS if wanted.upgrades else HTTPStatus.OK
            if response.status != expected:
                await self._fail(response, begin, kubelet, pod, client)
                return False
            if wanted.upgrades:
                await client.write(head + begin)
                with self._kubelet.expecting_more():
                    await splice(kubelet, client, metrics.BYTES.inc)
                return False
            head = response.raw if request.is_last else response.lasting
            await pass_on(client, head, begin)
            body = Body(response)
            body.passed(begin)
            with self._kubelet.expecting_more():
                await relay(kubelet, client, body, metrics.BYTES.inc)
            return body.looks_whole and not request.is_last

    async def _fail(
        self,
        response: Response,
        begin: bytes,
        kubelet: TlsStream,
        pod: SuperPod,
        client: TlsStream,
    ) -> None:
        """Pass an error on. Whatever the client sends after its request never reaches the kubelet."""
        if response.status < 400 or response.status in (401, 403):
            raise KubeletFailed(f"it answers with status {response.status}")
        async with asyncio.timeout(5):
            body = await http1.read_error(response, kubelet, begin)
        content_type = response.headers.get("content-type", "text/plain; charset=utf-8")
        words = in_tenant_words(body, pod)
        await client.write(http1.answer(HTTPStatus(response.status), words, content_type))


async def _in_turns(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces as they are made, the event loop's other work in between."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)

"""Answers for simulated nodes: there are no containers, and whoever asks for them is told so."""

from http import HTTPStatus

from kube.errors import ApiError, Unreachable
from node_agent import http1
from node_agent.forwarding import checked
from node_agent.http1 import Refused, Request
from node_agent.pods import Pods
from node_agent.routes import PodRequest, Report, Verb
from node_agent.streams import TlsStream


class SimulatedBackend:
    """See server.Backend."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    async def answer(
        self, tenant: str, request: Request, wanted: PodRequest | Report, client: TlsStream
    ) -> bool:
        """See server.Backend."""
        if isinstance(wanted, Report):
            raise Refused(
                HTTPStatus.NOT_IMPLEMENTED, f"a simulated node has no {wanted}: nothing runs on it"
            )
        try:
            pod = await self._pods.find(tenant, wanted.namespace, wanted.pod)
        except (ApiError, Unreachable) as error:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "the super cluster does not answer"
            ) from error
        checked(pod, wanted)
        text = sentence(wanted)
        if wanted.verb is not Verb.LOGS:
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, text)
        # Its end is that of the connection: see ``tunnel.pass_on``.
        head = http1.answer_head(HTTPStatus.OK, "text/plain; charset=utf-8")
        await client.write(head + f"{text}\n".encode())
        return False


def sentence(wanted: PodRequest) -> str:
    """Why there is nothing to see."""
    lacking = {
        Verb.LOGS: "writes no log",
        Verb.PORT_FORWARD: "listens on no port",
    }.get(wanted.verb, "runs no command")
    return (
        f"pod {wanted.namespace}/{wanted.pod} is simulated: it has no containers and {lacking} "
        "(its node is one of kwok's; real nodes have real containers)"
    )

"""Logs by WebSocket, as browsers and some clients read them; kubectl does not."""

import asyncio

import aiohttp

from kube.connection import KubeconfigFile
from tests.e2e.local_system import Cluster

PROTOCOL = "binary.k8s.io"


def log_by_websocket(cluster: Cluster, pod: str, namespace: str = "default") -> bytes:
    """A pod's log as its API server sends it over a WebSocket."""
    return asyncio.run(_log(cluster, f"/api/v1/namespaces/{namespace}/pods/{pod}/log"))


async def _log(cluster: Cluster, path: str) -> bytes:
    credentials = KubeconfigFile(cluster.kubeconfig).current()
    context = credentials.ssl_context()
    assert context is not None
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(credentials.server + path, ssl=context, protocols=[PROTOCOL]) as socket,
    ):
        assert socket.protocol == PROTOCOL
        return b"".join([message.data async for message in socket])

"""API servers that may be away: a client that insists, and all objects of a kind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeVar

from kube.client import Client
from kube.connection import KubeconfigFile
from kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Gone,
    Invalid,
    NotFound,
    Unreachable,
)
from kube.objects import Object, decode_object
from kube.resources import Resource
from kube.transport import AiohttpTransport
from tests.e2e.local_system import Cluster

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
FINAL = (AlreadyExists, BadRequest, Gone, Invalid, NotFound)
"""Answers that asking again does not change."""

T = TypeVar("T")


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Client]:
    """A client of a cluster, as the identity of its kubeconfig."""
    client = Client(AiohttpTransport(KubeconfigFile(cluster.kubeconfig)), timeout=5.0)
    try:
        yield client
    finally:
        await client.close()


async def insist(what: str, action: Callable[[], Awaitable[T]], seconds: float = 120.0) -> T:
    """The answer of an API server that may be killed or stopped meanwhile.

    What a server that has just started refuses (its own roles are not known to it yet, a new
    namespace has no service account yet) is asked again too. Raises one of FINAL.
    """
    deadline = monotonic() + seconds
    while True:
        try:
            return await action()
        except FINAL:
            raise
        except (ApiError, Unreachable) as error:
            if monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s in vain to {what}") from error
        await asyncio.sleep(0.2)  # between two tries


async def all_of(client: Client, resource: Resource, label_selector: str = "") -> list[Object]:
    """Every object of a kind."""

    async def listed() -> list[Object]:
        found: list[Object] = []
        async for page in client.pages(resource, label_selector=label_selector):
            found += [decode_object(item) for item in page.items or ()]
        return found

    while True:
        try:
            return await insist(f"list {resource.plural}", listed)
        except Gone:
            continue  # compacted between two pages

"""Finds out where a tenant's API server may be connected to, by asking the super cluster.

What must work while that is away, the way to the node agents, is kept; all else is asked for, since
connections are few: API servers use one for many requests.
"""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator

from egress_proxy.destinations import (
    Denied,
    Network,
    Target,
    address_of,
    agents_of,
    endpoints_of,
    is_outside,
    is_own_pod,
    service_key,
    within,
)
from egress_proxy.tunnel import Broken
from kube.client import Client
from kube.errors import NotFound
from kube.objects import Object, ObjectKey, decode_object, key_of
from kube.resources import ENDPOINT_SLICES, PODS, SERVICES, Resource
from syncer.runtime.pace import Pace
from vcluster import api
from vcluster.api import super_namespace

ENDPOINTS_TRIED = 3
QUESTIONS_AT_ONCE = 4
"""Of one tenant: a tenant that connects in vain as fast as it can slows only itself."""
QUESTIONS_PER_SECOND, QUESTIONS_IN_A_ROW = 20, 40
"""Of one tenant. Each is some lists, for which the super API server looks at all pods."""
FRESH_SECONDS = 1.0
"""So long an answer serves; an address is not another pod's sooner."""
MOST_ANSWERS = 4096


class NodeAgents:
    """Where the node agents are, kept in step by an informer. Its store."""

    def __init__(self, usual_port: int) -> None:
        self._usual_port = usual_port
        self._of: dict[ObjectKey, frozenset[Target]] = {}

    def __contains__(self, target: Target) -> bool:
        return any(target in agents for agents in self._of.values())

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        """See syncer.runtime.informer.Store."""
        node = decode_object(raw)
        key = key_of(node)
        self._of[key] = agents_of(node, self._usual_port)
        return key

    def remove(self, raw: bytes) -> None:
        """See syncer.runtime.informer.Store."""
        self._of.pop(key_of(decode_object(raw)), None)

    def retain(self, keys: set[ObjectKey], resource_version: int) -> None:
        """See syncer.runtime.informer.Store."""
        self._of = {key: agents for key, agents in self._of.items() if key in keys}


class Directory:
    """Knows the addresses behind a target, for one tenant at a time."""

    def __init__(
        self,
        client: Client,
        agents: NodeAgents,
        allowed: tuple[Network, ...] = (),
        denied: tuple[Network, ...] = (),
    ) -> None:
        self._client = client
        self._agents = agents
        self._allowed = allowed
        self._denied = denied
        self._asking: dict[str, asyncio.Semaphore] = {}
        self._pace = Pace(QUESTIONS_PER_SECOND, QUESTIONS_IN_A_ROW)
        self._answers: dict[tuple[str, Target], tuple[float, list[Target] | Denied | Broken]] = {}

    async def addresses(self, tenant: str, target: Target) -> list[Target]:
        """Where to connect to, the first that answers. Raises Denied, Broken, ApiError, Unreachable."""
        if target in self._agents:
            return [target]
        async with self._asking.setdefault(tenant, asyncio.Semaphore(QUESTIONS_AT_ONCE)):
            until, answer = self._answers.get((tenant, target), (0.0, []))
            if time.monotonic() > until:
                await asyncio.sleep(self._pace.delay(tenant))
                answer = await self._answer(tenant, target)
                if len(self._answers) >= MOST_ANSWERS:
                    self._answers.clear()
                self._answers[tenant, target] = time.monotonic() + FRESH_SECONDS, answer
        if isinstance(answer, (Denied, Broken)):
            raise type(answer)(str(answer))
        return answer

    def forget(self, tenant: str) -> None:
        """The tenant has gone."""
        self._asking.pop(tenant, None)

    async def _answer(self, tenant: str, target: Target) -> list[Target] | Denied | Broken:
        try:
            return await self._find(tenant, target)
        except (Denied, Broken) as error:
            return error

    async def _find(self, tenant: str, target: Target) -> list[Target]:
        if service := await self._service(tenant, target.host):
            return await self._behind(tenant, service, target.port)
        if await self._is_reachable(tenant, target.host):
            return [target]
        outside = [
            Target(address, target.port)
            for address in await self._resolved(target.host)
            if await self._is_reachable(tenant, address)
        ]
        if not outside:
            raise Denied("no pod, service or node agent of this cluster is there")
        return outside

    async def _service(self, tenant: str, host: str) -> Object | None:
        """The tenant's Service of that name or cluster IP, as it is in the super cluster."""
        if key := service_key(host):
            below = ObjectKey(super_namespace(tenant, key.namespace), key.name)
            try:
                found = decode_object(await self._client.get(SERVICES, below))
            except NotFound:
                return None
            labels = found["metadata"].get("labels") or {}
            return found if labels.get(api.TENANT_LABEL) == tenant else None
        if address_of(host) is None:
            return None
        services = self._list(
            SERVICES,
            label_selector=f"{api.TENANT_LABEL}={tenant}",
            field_selector=f"spec.clusterIP={host}",
        )
        async for service in services:
            return service
        return None

    async def _behind(self, tenant: str, service: Object, port: int) -> list[Target]:
        """Some endpoints of a Service: those are the tenant's word, so each is looked at."""
        namespace, name = key_of(service)
        selector = f"kubernetes.io/service-name={name}"
        slices = self._list(ENDPOINT_SLICES, namespace=namespace, label_selector=selector)
        endpoints = endpoints_of(service, port, [one async for one in slices])
        if not endpoints:
            raise Broken("the service has no endpoint that is ready")
        chosen = random.sample(endpoints, min(ENDPOINTS_TRIED, len(endpoints)))
        found = [one for one in chosen if await self._is_reachable(tenant, one.host)]
        if not found:
            raise Denied("the service's endpoints are no pods of this cluster")
        return found

    async def _is_reachable(self, tenant: str, host: str) -> bool:
        address = address_of(host)
        if address is None or within(address, self._denied):
            return False
        selector = f"status.podIP={address}"
        pods = [pod async for pod in self._list(PODS, field_selector=selector)]
        if pods:
            return is_own_pod(tenant, pods)
        return is_outside(address, self._allowed)

    async def _resolved(self, host: str) -> list[str]:
        """The addresses of a name outside; names are not even asked for where none is allowed."""
        if not self._allowed or address_of(host):
            return []
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, None, type=socket.SOCK_STREAM
            )
        except OSError:
            return []
        return [str(entry[4][0]) for entry in found[:ENDPOINTS_TRIED]]

    async def _list(
        self,
        resource: Resource,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Object]:
        async for page in self._client.pages(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
        ):
            for item in page.items or ():
                yield decode_object(bytes(item))

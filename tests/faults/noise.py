"""What a tenant can do to be loud, as its administrator, until it is ended or done.

``python -m tests.faults.noise KUBECONFIG NAME`` makes it from a process of its own, so that who measures
has nothing to do with it. It ends when its standard input does.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from kube.client import Client, Patch
from kube.connection import KubeconfigFile
from kube.errors import ApiError, Conflict, NotFound, Unreachable
from kube.objects import ObjectKey, decode_object, encode
from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, PODS
from kube.transport import AiohttpTransport
from tests.chaos import load
from tests.chaos.pace import until_running

AT_ONCE = 10
BURST_PODS, NAMESPACES_MADE, WATCHES = 150, 250, 500

Noise = Callable[[Client], Coroutine[Any, Any, None]]


async def burst(client: Client) -> None:
    """Very many pods at once; they go again."""
    await _all(load.create(client, f"burst-{number}", {}) for number in range(BURST_PODS))
    await load.clear(client, "burst-")


async def events(client: Client) -> None:
    """Events about a pod, as fast as the API server takes them."""
    await _without_end(lambda number: client.create(EVENTS, _in_load(""), _event(number)))


async def config_maps(client: Client) -> None:
    """A config map that a pod uses changes, as fast as the API server takes it."""
    await load.create(client, "uses-settings", _uses_settings())

    def change(number: int) -> Awaitable[bytes]:
        body = encode({"data": {"colour": str(number)}})
        return client.patch(CONFIG_MAPS, _in_load("settings"), Patch.MERGE, body)

    await _without_end(change)


async def labels(client: Client) -> None:
    """The labels of a running pod flap."""
    with suppress(AssertionError):
        await until_running(client, "flapping")

    def flap(number: int) -> Awaitable[bytes]:
        body = encode({"metadata": {"labels": {"flaps": str(number % 2)}}})
        return client.patch(PODS, _in_load("flapping"), Patch.MERGE, body)

    await _without_end(flap)


async def namespaces(client: Client) -> None:
    """Namespaces are made and deleted at once."""
    await _all(_namespace(client, f"churn-{number}") for number in range(NAMESPACES_MADE))


async def watches(client: Client) -> None:
    """Very many watches of all pods."""
    await asyncio.gather(*(_watch(client) for _ in range(WATCHES)))


NOISES: dict[str, Noise] = {
    f"{BURST_PODS} pods at once": burst,
    "events without end": events,
    "a used config map changes without end": config_maps,
    "labels of a running pod flap": labels,
    f"{NAMESPACES_MADE} namespaces made and deleted": namespaces,
    f"{WATCHES} watches of all pods": watches,
}


async def _namespace(client: Client, name: str) -> None:
    key = ObjectKey("", name)
    with suppress(Conflict, NotFound):
        made = await client.create(NAMESPACES, key, encode({"metadata": {"name": name}}))
        await client.delete(NAMESPACES, key, uid=decode_object(made)["metadata"]["uid"])


async def _watch(client: Client) -> None:
    with suppress(ApiError, Unreachable):
        async for _ in client.watch(PODS, "0"):
            pass


async def _without_end(action: Callable[[int], Awaitable[object]]) -> None:
    numbers = count()

    async def go_on() -> None:
        for number in numbers:
            with suppress(ApiError, Unreachable):
                await action(number)

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))


async def _all(actions: Iterable[Awaitable[None]]) -> None:
    rest = iter(actions)

    async def work() -> None:
        for action in rest:
            await action

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def _event(number: int) -> bytes:
    return encode(
        {
            "metadata": {"generateName": "noise-", "namespace": load.NAMESPACE},
            "involvedObject": {"kind": "Pod", "namespace": load.NAMESPACE, "name": "flapping"},
            "reason": "Noise",
            "message": str(number),
        }
    )


def _in_load(name: str) -> ObjectKey:
    return ObjectKey(load.NAMESPACE, name)


def _uses_settings() -> dict[str, object]:
    sources = [{"configMapRef": {"name": "settings"}}]
    return {"containers": [{"name": "main", "image": "demo", "envFrom": sources}]}


async def main(kubeconfig: Path, name: str) -> None:
    """Be loud until standard input ends."""
    client = Client(AiohttpTransport(KubeconfigFile(kubeconfig)))
    noise = asyncio.create_task(NOISES[name](client))
    await asyncio.to_thread(sys.stdin.read)
    noise.cancel()
    with suppress(asyncio.CancelledError):
        await noise
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

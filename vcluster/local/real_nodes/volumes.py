"""`python -m vcluster.local.real_nodes.volumes KUBECONFIG FOLDER`: volumes for claims, in folders.

Compares claims, volumes and folders whenever one of the first two changes, and does what is missing;
so it may be killed at any moment. FOLDER is where every node sees it: at its own path.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kube.client import Client
from kube.connection import KubeconfigFile
from kube.errors import AlreadyExists, ApiError, NotFound, Unreachable
from kube.http2.transport import transport_for
from kube.objects import Object, ObjectKey, decode_object, encode, key_of
from kube.resources import (
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    Resource,
)
from vcluster.local.real_nodes import folders

RETRY_SECONDS = 1.0
VOLUME_MODE = 0o777
"""Containers run as any user; FOLDER itself is for its owner only."""


async def serve(client: Client, folder: Path) -> None:
    """Until cancelled."""
    while True:
        try:
            await _changed(client, await settle(client, folder))
        except (ApiError, Unreachable, OSError) as error:
            print(f"tried again in {RETRY_SECONDS:g} s: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(RETRY_SECONDS)


async def settle(client: Client, folder: Path) -> dict[Resource, str]:
    """Make the volumes that are missing, remove those released; the versions that this is of.

    Raises ApiError, Unreachable, OSError.
    """
    # In this order: a claim that has got its volume meanwhile is taken for one that waits, not for none.
    claims, claims_version = await _all(client, PERSISTENT_VOLUME_CLAIMS)
    volumes, volumes_version = await _all(client, PERSISTENT_VOLUMES)
    known = {volume["metadata"]["name"] for volume in volumes}
    waiting = [claim for claim in claims if folders.waits_for_us(claim)]
    steps = [
        *(
            partial(_provide, client, folder, claim)
            for claim in waiting
            if folders.volume_name(claim) not in known
        ),
        *(
            partial(_reclaim, client, folder, volume)
            for volume in volumes
            if folders.is_released(volume)
        ),
    ]
    failed = [error for step in steps if (error := await _tried(step))]
    _tidy(folder, known | {folders.volume_name(claim) for claim in waiting})
    if failed:
        raise failed[0]
    return {PERSISTENT_VOLUME_CLAIMS: claims_version, PERSISTENT_VOLUMES: volumes_version}


def _tidy(folder: Path, kept: set[str]) -> None:
    """Remove what was made for a claim that went before it got the volume. One with data in it stays."""
    for path in folder.iterdir():
        if path.name not in kept:
            with suppress(OSError):
                path.rmdir()


async def _tried(step: Callable[[], Awaitable[None]]) -> ApiError | OSError | None:
    """What went wrong, if it did: one claim that fails must not hold up the others."""
    try:
        await step()
    except (ApiError, OSError) as error:
        return error
    return None


async def _provide(client: Client, folder: Path, claim: Object) -> None:
    name = claim["spec"].get("storageClassName") or ""
    try:
        found = await client.get(STORAGE_CLASSES, ObjectKey("", name))
    except NotFound:
        return  # nobody says any more how: the claim waits
    storage = decode_object(found)
    if said := folders.problem(claim, storage):
        await _tell(client, claim, said)
        return
    volume = folders.volume(claim, storage, folder)
    path = Path(volume["spec"]["local"]["path"])
    _make(path)
    with suppress(AlreadyExists):
        await client.create(PERSISTENT_VOLUMES, key_of(volume), encode(volume))
        print(f"made {path.name} for {key_of(claim)}", flush=True)


def _make(path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(VOLUME_MODE)  # whatever the umask says


async def _reclaim(client: Client, folder: Path, volume: Object) -> None:
    metadata = volume["metadata"]
    # Not the path that the object names: whoever may write it chose none of ours.
    path = folder / metadata["name"]
    with suppress(FileNotFoundError):
        await asyncio.to_thread(partial(shutil.rmtree, path))
    with suppress(NotFound):
        await client.delete(PERSISTENT_VOLUMES, key_of(volume), uid=metadata["uid"])
    print(f"removed {path.name}", flush=True)


async def _tell(client: Client, claim: Object, said: str) -> None:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = folders.failed_event(claim, said, moment)
    with suppress(AlreadyExists, NotFound):
        await client.create(EVENTS, key_of(event), encode(event))


async def _all(client: Client, resource: Resource) -> tuple[list[Object], str]:
    items: list[Object] = []
    version = ""
    async for page in client.pages(resource):
        items += [decode_object(item) for item in page.items or ()]
        version = page.metadata.resource_version
    return items, version


async def _changed(client: Client, versions: dict[Resource, str]) -> None:
    """Return when one of the kinds has changed since its version, or is to be listed again."""
    async with asyncio.TaskGroup() as tasks:
        watches = [
            tasks.create_task(_first_event(client, resource, version))
            for resource, version in versions.items()
        ]
        await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        for watch in watches:
            watch.cancel()


async def _first_event(client: Client, resource: Resource, version: str) -> None:
    try:
        async for events in client.watch(resource, version):
            if any(event.type != "BOOKMARK" for event in events):
                return
    except (ApiError, Unreachable):
        await asyncio.sleep(RETRY_SECONDS)


def main(arguments: Sequence[str]) -> None:
    """Read the arguments, and serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    kubeconfig, folder = (Path(argument) for argument in arguments)
    folder.mkdir(mode=0o700, exist_ok=True)
    client = Client(transport_for(KubeconfigFile(kubeconfig)))
    asyncio.run(serve(client, folder))


if __name__ == "__main__":
    main(sys.argv[1:])

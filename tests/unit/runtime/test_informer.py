"""An informer keeps a store in step, whatever happens to its connection."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from kube.client import Client
from kube.objects import ObjectKey, decode_head
from kube.resources import CONFIG_MAPS
from syncer.runtime.history import HistoryLost
from syncer.runtime.informer import LONGEST_DELAY, Informer
from tests.builders import a_config_map, with_metadata
from tests.conftest import client_of
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, CutWatch
from tests.fakes.waiting import eventually, grows_by


class Mirror:
    """A store of names and versions that counts what it hears."""

    def __init__(self) -> None:
        self.versions: dict[ObjectKey, str] = {}
        self.heard = 0
        self.poison = ""

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        metadata = decode_head(raw).metadata
        if metadata.name == self.poison:
            raise ValueError("cannot be understood")
        self.heard += 1
        key = ObjectKey(metadata.namespace, metadata.name)
        self.versions[key] = metadata.resource_version
        return key

    def remove(self, raw: bytes) -> None:
        metadata = decode_head(raw).metadata
        self.heard += 1
        self.versions.pop(ObjectKey(metadata.namespace, metadata.name), None)

    def retain(self, keys: set[ObjectKey], resource_version: int) -> None:
        for key in [key for key in self.versions if key not in keys]:
            del self.versions[key]

    def agrees_with(self, server: FakeApiServer) -> bool:
        return self.versions == {
            ObjectKey(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj["metadata"][
                "resourceVersion"
            ]
            for obj in server.objects(CONFIG_MAPS)
        }


def whole_lists(server: FakeApiServer) -> int:
    """How often all was listed: a list of one asks only how far the server has come."""
    return sum(call.query.get("limit") != "1" for call in server.script.calls("LIST", "configmaps"))


@contextlib.asynccontextmanager
async def informed(
    client: Client, mirror: Mirror, labels: str = "", *, optional: bool = False
) -> AsyncIterator[Informer]:
    """An informer that runs."""
    informer = Informer(client, CONFIG_MAPS, mirror, label_selector=labels, optional=optional)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        async with asyncio.timeout(60):
            await informer.synced.wait()
        yield informer
        running.cancel()


def change(server: FakeApiServer, name: str, value: str) -> None:
    server.patch(CONFIG_MAPS, ObjectKey("default", name), {"data": {"value": value}})


async def test_it_is_synced_once_the_whole_list_is_in(
    apiserver: FakeApiServer, client: Client
) -> None:
    for number in range(1200):
        apiserver.create(CONFIG_MAPS, a_config_map(f"settings-{number}"))
    mirror = Mirror()
    async with informed(client, mirror):
        assert mirror.agrees_with(apiserver)


async def test_it_follows_creations_changes_and_deletions(
    apiserver: FakeApiServer, client: Client
) -> None:
    mirror = Mirror()
    async with informed(client, mirror):
        apiserver.create(CONFIG_MAPS, a_config_map("a"))
        apiserver.create(CONFIG_MAPS, a_config_map("b"))
        change(apiserver, "a", "new")
        apiserver.delete(CONFIG_MAPS, ObjectKey("default", "b"))
        await eventually(
            lambda: mirror.heard == 4 and mirror.agrees_with(apiserver), "all four are heard"
        )


async def test_after_a_cut_it_goes_on_where_it_was_without_a_new_list(
    apiserver: FakeApiServer, client: Client
) -> None:
    mirror = Mirror()
    apiserver.script.add("WATCH", "configmaps", CutWatch(after_events=2), times=3)
    async with informed(client, mirror):
        for number in range(10):
            apiserver.create(CONFIG_MAPS, a_config_map(f"settings-{number}"))
        await eventually(lambda: mirror.agrees_with(apiserver), "all are there")
    assert mirror.heard == 10, "none twice"
    assert whole_lists(apiserver) == 1


async def test_after_gone_it_lists_again_and_finds_what_it_missed(
    apiserver: FakeApiServer, client: Client
) -> None:
    mirror = Mirror()
    for name in ("stays", "goes", "changes"):
        apiserver.create(CONFIG_MAPS, a_config_map(name))
    async with informed(client, mirror):
        await eventually(lambda: apiserver.open_watches, "the watch is open")
        await apiserver.stop()
        apiserver.delete(CONFIG_MAPS, ObjectKey("default", "goes"))
        apiserver.create(CONFIG_MAPS, a_config_map("new"))
        change(apiserver, "changes", "new")
        apiserver.compact()
        await apiserver.start()
        await eventually(lambda: mirror.agrees_with(apiserver), "the store agrees again")
    assert whole_lists(apiserver) == 2


async def test_bookmarks_save_a_quiet_kind_from_a_new_list(
    apiserver: FakeApiServer, client: Client
) -> None:
    mirror = Mirror()
    async with informed(client, mirror):
        await eventually(lambda: apiserver.open_watches, "the watch is open")
        apiserver.compact()
        apiserver.send_bookmarks()
        await apiserver.stop()
        await apiserver.start()
        apiserver.create(CONFIG_MAPS, a_config_map())
        await eventually(lambda: mirror.agrees_with(apiserver), "the store agrees")
    assert whole_lists(apiserver) == 1


async def test_a_server_that_is_down_at_first_is_waited_for(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    apiserver.script.add("LIST", "configmaps", Answer(500), times=2)
    mirror = Mirror()
    async with informed(client, mirror):
        assert mirror.agrees_with(apiserver)


async def test_a_list_that_expires_half_way_is_begun_again(
    apiserver: FakeApiServer, client: Client
) -> None:
    for number in range(600):
        apiserver.create(CONFIG_MAPS, a_config_map(f"settings-{number}"))
    apiserver.script.add("LIST", "configmaps", Answer(200, body=_first_page(apiserver)))
    mirror = Mirror()
    async with informed(client, mirror):
        assert mirror.agrees_with(apiserver)


async def test_one_object_that_cannot_be_read_does_not_hide_the_others(
    apiserver: FakeApiServer, client: Client
) -> None:
    mirror = Mirror()
    mirror.poison = "poison"
    apiserver.create(CONFIG_MAPS, a_config_map("poison"))
    apiserver.create(CONFIG_MAPS, a_config_map("listed"))
    async with informed(client, mirror):
        change(apiserver, "poison", "new")
        apiserver.create(CONFIG_MAPS, a_config_map("watched"))
        watched = ObjectKey("default", "watched")
        await eventually(lambda: watched in mirror.versions, "the good one is there")
    assert ObjectKey("default", "listed") in mirror.versions


async def test_only_what_is_selected_is_kept(apiserver: FakeApiServer, client: Client) -> None:
    mirror = Mirror()
    apiserver.create(CONFIG_MAPS, a_config_map("other"))
    ours = with_metadata(a_config_map("ours"), labels={"of": "us"})
    apiserver.create(CONFIG_MAPS, ours)
    async with informed(client, mirror, labels="of=us"):
        assert [key.name for key in mirror.versions] == ["ours"]
        lost = {"metadata": {"labels": {"of": "others"}}}
        apiserver.patch(CONFIG_MAPS, ObjectKey("default", "ours"), lost)
        await eventually(lambda: not mirror.versions, "what is no longer selected is gone")


async def test_a_server_that_hangs_is_asked_again(apiserver: FakeApiServer) -> None:
    impatient = client_of(apiserver, timeout=0.3, watch_silence=0.3)
    mirror = Mirror()
    async with informed(impatient, mirror):
        apiserver.freeze()
        apiserver.create(CONFIG_MAPS, a_config_map())
        await eventually(
            lambda: apiserver.script.calls("LIST")[1:], "it is asked anew how far it has come"
        )
        apiserver.thaw()
        await eventually(lambda: mirror.agrees_with(apiserver), "the store agrees")
    await impatient.close()


@pytest.mark.parametrize("answer", [Answer(404, "NotFound"), Answer(403, "Forbidden")])
async def test_an_optional_kind_that_is_not_served_is_empty_until_it_is(
    apiserver: FakeApiServer, client: Client, answer: Answer
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    unserved = apiserver.script.add_for_good("LIST", "configmaps", answer)
    mirror = Mirror()
    async with informed(client, mirror, optional=True):
        assert not mirror.versions
        unserved.remove()
        await eventually(lambda: mirror.agrees_with(apiserver), "it is noticed")


async def test_an_optional_kind_that_goes_takes_nothing_for_deleted(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    apiserver.script.add("WATCH", "configmaps", CutWatch(after_events=1))
    mirror = Mirror()
    async with informed(client, mirror, optional=True):
        unserved = apiserver.script.add_for_good("*", "configmaps", Answer(404, "NotFound"))
        apiserver.create(CONFIG_MAPS, a_config_map("other"))
        await eventually(lambda: unserved.hits >= 2, "it is found missing")
        assert len(mirror.versions) == 2


def _first_page(server: FakeApiServer) -> bytes:
    """A page whose continuation is not known (any longer)."""
    version = server.verbs.storage.revision
    return b'{"metadata":{"resourceVersion":"%d","continue":"long-gone"},"items":[]}' % version


async def test_a_server_that_was_set_back_is_found_out_though_it_accepts_the_watch(
    apiserver: FakeApiServer, client: Client
) -> None:
    mirror = Mirror()
    backup = apiserver.verbs.storage.backup()
    apiserver.create(CONFIG_MAPS, a_config_map("since"))
    informer = Informer(client, CONFIG_MAPS, mirror)
    running = asyncio.ensure_future(informer.run())
    await eventually(lambda: apiserver.open_watches, "the watch is open")
    await apiserver.stop()
    apiserver.verbs.storage.restore(backup)
    await apiserver.start()
    with pytest.raises(HistoryLost, match="was seen, and a new list has"):
        await running


async def test_one_that_is_hurried_asks_at_once(apiserver: FakeApiServer, client: Client) -> None:
    apiserver.script.add_for_good("LIST", "configmaps", Answer(503))
    informer = Informer(client, CONFIG_MAPS, Mirror())
    many = 40

    def lists() -> int:
        return len(apiserver.script.calls("LIST", "configmaps"))

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        async with asyncio.timeout(many * LONGEST_DELAY / 6):  # else half of many times that
            for _ in range(many):
                await grows_by(informer.hurry, lists, "it has asked")
        running.cancel()


async def test_it_tells_when_the_server_answers_after_a_failure(
    apiserver: FakeApiServer, client: Client
) -> None:
    told: list[int] = []
    informer = Informer(
        client, CONFIG_MAPS, Mirror(), on_recovery=lambda: told.append(whole_lists(apiserver))
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await eventually(lambda: apiserver.open_watches, "the watch is open")
        assert not told, "nothing had failed"
        await apiserver.stop()
        refusal = apiserver.script.add_for_good("LIST", "configmaps", Answer(503))
        await apiserver.start()
        await eventually(lambda: refusal.hits > 1, "it is refused")
        assert not told
        refusal.remove()
        await eventually(lambda: told, "it has told")
        running.cancel()


async def test_it_does_not_tell_at_each_turn_of_a_server_that_refuses_watches(
    apiserver: FakeApiServer, client: Client
) -> None:
    """It would have all others, and itself, try without a rest."""
    refusal = apiserver.script.add_for_good("WATCH", "configmaps", Answer(503))
    told: list[float] = []
    informer = Informer(
        client, CONFIG_MAPS, Mirror(), on_recovery=lambda: told.append(time.monotonic())
    )
    start = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await eventually(lambda: refusal.hits >= 5, "it has tried again and again")
        running.cancel()
    assert len(told) <= 1 + (time.monotonic() - start) / LONGEST_DELAY

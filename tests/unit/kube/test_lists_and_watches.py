"""Lists in pages, and watches that break and go on."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest

from kube.client import Client
from kube.depth import MOST
from kube.errors import Gone, Unreachable
from kube.objects import ObjectKey, WatchEvent, decode_head, decode_object
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS
from tests.builders import a_config_map, a_namespace, a_pod, with_metadata
from tests.conftest import client_of
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, CutWatch, Hang
from tests.fakes.waiting import eventually


async def names(client: Client, limit: int = 500, **selectors: Any) -> list[str]:
    return [
        decode_head(bytes(item)).metadata.name
        async for page in client.pages(CONFIG_MAPS, limit=limit, **selectors)
        for item in page.items or ()
    ]


@contextlib.asynccontextmanager
async def watching(
    client: Client, version: str | int, label_selector: str = "", metadata_only: bool = False
) -> AsyncIterator[AsyncIterator[WatchEvent]]:
    """The events of config maps one by one."""

    async def one_by_one() -> AsyncGenerator[WatchEvent, None]:
        async with contextlib.aclosing(batches):
            async for batch in batches:
                for event in batch:
                    yield event

    watch = client.watch(
        CONFIG_MAPS, str(version), label_selector=label_selector, metadata_only=metadata_only
    )
    batches = cast(AsyncGenerator[list[WatchEvent], None], watch)
    events = one_by_one()
    async with contextlib.aclosing(events), asyncio.timeout(60):
        yield events


def version_now(server: FakeApiServer) -> str:
    return str(server.verbs.storage.revision)


async def all_until_cut(client: Client, since: str, seen: list[WatchEvent]) -> None:
    async def follow() -> None:
        async with watching(client, since) as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - what came before the cut counts

    with pytest.raises(Unreachable):
        await follow()


def said(event: WatchEvent) -> tuple[str, str]:
    return event.type, decode_head(bytes(event.object)).metadata.name


async def test_pages_together_are_the_list_as_it_was_at_its_beginning(
    apiserver: FakeApiServer, client: Client
) -> None:
    wanted = [f"settings-{number}" for number in range(7)]
    for name in wanted:
        apiserver.create(CONFIG_MAPS, a_config_map(name))
    seen: list[str] = []
    versions = set()
    async for page in client.pages(CONFIG_MAPS, limit=3):
        seen += [decode_head(bytes(item)).metadata.name for item in page.items or ()]
        versions.add(page.metadata.resource_version)
        if len(seen) == 3:
            apiserver.create(CONFIG_MAPS, a_config_map("a-late-one"))
    assert seen == wanted
    assert len(versions) == 1
    assert len(apiserver.script.calls("LIST", "configmaps")) == 3


async def test_an_empty_list_is_one_page_with_a_version(client: Client) -> None:
    pages = [page async for page in client.pages(PODS)]
    assert len(pages) == 1
    assert int(pages[0].metadata.resource_version) > 0


async def test_pages_that_expire_on_the_way_say_so(
    apiserver: FakeApiServer, client: Client
) -> None:
    for number in range(4):
        apiserver.create(CONFIG_MAPS, a_config_map(f"settings-{number}"))
    pages = client.pages(CONFIG_MAPS, limit=2)
    await anext(pages)
    apiserver.compact()
    with pytest.raises(Gone):
        await anext(pages)


async def test_selectors_choose_what_is_listed(apiserver: FakeApiServer, client: Client) -> None:
    apiserver.create(NAMESPACES, a_namespace("shop"))
    for name, namespace, bucket in (("a", "shop", "1"), ("b", "default", "2"), ("c", "shop", "3")):
        labelled = with_metadata(a_config_map(name, namespace), labels={"bucket": bucket})
        apiserver.create(CONFIG_MAPS, labelled)
    assert await names(client, label_selector="bucket in (1,2)") == ["b", "a"]
    assert await names(client, label_selector="bucket=3") == ["c"]
    assert await names(client, namespace="default") == ["b"]
    assert await names(client, field_selector="metadata.name=a") == ["a"]


async def test_a_watch_tells_of_all_that_happens_after_its_version(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map("old"))
    since = version_now(apiserver)
    apiserver.create(CONFIG_MAPS, a_config_map("missed"))
    async with watching(client, since) as events:
        assert said(await anext(events)) == ("ADDED", "missed")
        apiserver.patch(CONFIG_MAPS, ObjectKey("default", "old"), {"data": {"a": "b"}})
        assert said(await anext(events)) == ("MODIFIED", "old")
        apiserver.delete(CONFIG_MAPS, ObjectKey("default", "old"))
        deleted = await anext(events)
    assert said(deleted) == ("DELETED", "old")
    assert decode_object(bytes(deleted.object))["data"] == {"a": "b"}, "the last state"


async def test_a_watch_that_was_cut_goes_on_without_a_loss_or_a_repetition(
    apiserver: FakeApiServer, client: Client
) -> None:
    since = version_now(apiserver)
    for number in range(4):
        apiserver.create(CONFIG_MAPS, a_config_map(f"settings-{number}"))
    apiserver.script.add("WATCH", "configmaps", CutWatch(after_events=2))
    seen: list[WatchEvent] = []
    await all_until_cut(client, since, seen)
    last = decode_head(bytes(seen[-1].object)).metadata.resource_version
    async with watching(client, last) as events:
        seen += [await anext(events), await anext(events)]
    assert [said(event)[1] for event in seen] == [f"settings-{number}" for number in range(4)]


async def test_a_half_line_before_the_cut_is_never_taken_for_an_event(
    apiserver: FakeApiServer, client: Client
) -> None:
    since = version_now(apiserver)
    apiserver.create(CONFIG_MAPS, a_config_map("whole"))
    half = b'{"type":"DELETED","object":{"metadata":{"name":"who'
    apiserver.script.add("WATCH", "configmaps", CutWatch(after_events=1, garbage=half))
    seen: list[WatchEvent] = []
    await all_until_cut(client, since, seen)
    assert [said(event) for event in seen] == [("ADDED", "whole")]


async def test_a_line_that_is_no_event_breaks_the_watch(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    apiserver.script.add("WATCH", "configmaps", Answer(200, body=b"<html>a proxy's page\n"))
    with pytest.raises(Unreachable, match="not an event"):
        async with watching(client, 1000) as events:
            await anext(events)


async def test_bookmarks_are_handed_out_so_that_a_quiet_watch_does_not_grow_old(
    apiserver: FakeApiServer, client: Client
) -> None:
    since = version_now(apiserver)
    async with watching(client, since) as events:
        following = asyncio.ensure_future(anext(events))
        await eventually(lambda: apiserver.open_watches, "the watch is open")
        apiserver.create(PODS, a_pod())
        apiserver.send_bookmarks()
        bookmark = await following
        assert bookmark.type == "BOOKMARK"
        version = decode_head(bytes(bookmark.object)).metadata.resource_version
    assert int(version) > int(since)
    assert apiserver.script.calls("WATCH")[0].query["allowWatchBookmarks"] == "true"


async def test_a_version_that_is_too_old_raises_gone(
    apiserver: FakeApiServer, client: Client
) -> None:
    since = version_now(apiserver)
    apiserver.compact()
    with pytest.raises(Gone):
        async with watching(client, since) as events:
            await anext(events)


async def test_gone_is_understood_as_a_status_too(apiserver: FakeApiServer, client: Client) -> None:
    apiserver.script.add("WATCH", "configmaps", Answer(410, "Gone"))
    with pytest.raises(Gone):
        async with watching(client, version_now(apiserver)) as events:
            await anext(events)


async def test_an_object_that_leaves_the_selection_is_seen_as_deleted(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, with_metadata(a_config_map(), labels={"bucket": "1"}))
    async with watching(client, version_now(apiserver), label_selector="bucket=1") as events:
        key = ObjectKey("default", "settings")
        apiserver.patch(CONFIG_MAPS, key, {"metadata": {"labels": {"bucket": "2"}}})
        assert said(await anext(events)) == ("DELETED", "settings")


async def test_a_watch_of_metadata_carries_no_contents(
    apiserver: FakeApiServer, client: Client
) -> None:
    since = version_now(apiserver)
    apiserver.create(CONFIG_MAPS, a_config_map(secret="of-the-tenant"))
    async with watching(client, since, metadata_only=True) as events:
        event = await anext(events)
    assert b"of-the-tenant" not in bytes(event.object)


async def test_a_watch_ends_quietly_when_the_server_ends_it(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.script.add("WATCH", "configmaps", Answer(200, body=b""))
    async with watching(client, version_now(apiserver)) as events:
        assert [event async for event in events] == []


async def test_a_watch_asks_the_server_to_end_it_in_time(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.script.add("WATCH", "configmaps", Answer(200, body=b""))
    async with watching(client, version_now(apiserver)) as events:
        assert [event async for event in events] == []
    seconds = int(apiserver.script.calls("WATCH")[0].query["timeoutSeconds"])
    assert 60 <= seconds <= 3600


async def test_a_watch_that_is_not_answered_is_given_up(apiserver: FakeApiServer) -> None:
    impatient = client_of(apiserver, timeout=0.05)
    apiserver.script.add("WATCH", "configmaps", Hang())
    with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
        async with watching(impatient, version_now(apiserver)) as events:
            await anext(events)
    await impatient.close()


async def test_a_watch_that_falls_silent_is_given_up(
    apiserver: FakeApiServer,
) -> None:
    client = client_of(apiserver, watch_silence=0.05)
    with pytest.raises(Unreachable, match="silent"):
        async with watching(client, version_now(apiserver)) as events:
            await anext(events)
    await client.close()


async def test_a_cancelled_watch_closes_its_connection(
    apiserver: FakeApiServer, client: Client
) -> None:
    async with asyncio.TaskGroup() as tasks:

        async def follow() -> None:
            async for _ in client.watch(CONFIG_MAPS, version_now(apiserver)):
                pass

        task = tasks.create_task(follow())
        await eventually(lambda: apiserver.open_watches == 1, "the watch is open")
        task.cancel()
    await eventually(lambda: apiserver.open_watches == 0, "the server sees the watch closed")


async def test_an_event_far_larger_than_a_buffer_arrives_whole(
    apiserver: FakeApiServer, client: Client
) -> None:
    since = version_now(apiserver)
    apiserver.create(CONFIG_MAPS, a_config_map(large="x" * 900_000))
    async with watching(client, since) as events:
        event = await anext(events)
    assert len(decode_object(bytes(event.object))["data"]["large"]) == 900_000


@pytest.mark.parametrize("depth", [200, 5000, 9000])
async def test_an_object_that_is_nested_too_deeply_hides_no_other(
    apiserver: FakeApiServer, client: Client, depth: int
) -> None:
    """Only a custom resource can be so; the API server accepts 10,000 levels."""
    odd = b'{"metadata":{"name":"odd","uid":"u"},"data":%s%s}' % (b"[" * depth, b"]" * depth)
    others = [
        b'{"metadata":{"name":"%s","uid":"u"},"data":{"items":"]}\\\\","a":"\\"}"}}' % name
        for name in (b"first", b"last")
    ]
    head = b'{"metadata":{"resourceVersion":"7","continue":""},"kind":"X","items":['
    body = head + b", ".join([others[0], odd, others[1]]) + b'],"after":{}}'
    apiserver.script.add("LIST", "configmaps", Answer(200, body=body))
    expected = ["first", "odd", "last"] if depth <= MOST else ["first", "last"]
    assert await names(client) == expected


async def test_a_list_that_is_only_depth_is_no_list(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.script.add("LIST", "configmaps", Answer(200, body=b"[" * 5000))
    with pytest.raises(Unreachable, match="not a list"):
        await names(client)

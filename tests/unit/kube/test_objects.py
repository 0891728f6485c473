"""Objects go in and out without a loss."""

import json
from collections.abc import Awaitable

import pytest

from kube.client import Client, Patch
from kube.errors import ApiError, Conflict, Invalid
from kube.objects import (
    ObjectKey,
    WatchEvent,
    decode_head,
    decode_object,
    decode_watch_event,
    encode,
)
from kube.resources import CONFIG_MAPS, PODS, Resource
from tests.builders import a_config_map, a_pod, with_metadata
from tests.fakes.apiserver import FakeApiServer

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")
WEB = ObjectKey("default", "web")


async def test_fields_that_nobody_knows_survive_in_their_order(
    apiserver: FakeApiServer, client: Client
) -> None:
    text = (
        '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"},'
        '"zebra":{"z":1,"a":[{},null,[]]},"alpha":"\\u00e9\\u2028","huge":18446744073709551615,"float":1.0}'
    )
    created = await client.create(WIDGETS, ObjectKey("default", "w"), text.encode())
    read = await client.get(WIDGETS, ObjectKey("default", "w"))
    assert apiserver.script.calls("POST")[0].body == text.encode()
    assert read == created
    sent, seen = json.loads(text), json.loads(read)
    assert {field: seen[field] for field in sent if field != "metadata"} == {
        field: sent[field] for field in sent if field != "metadata"
    }
    assert [field for field in seen if field in sent] == list(sent)


async def test_lists_and_watches_hand_out_the_very_bytes_of_each_object(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(
        CONFIG_MAPS, with_metadata(a_config_map(), futureField={"deep": [1, {"x": 2}]})
    )
    pages = [page async for page in client.pages(CONFIG_MAPS)]
    assert decode_object(bytes((pages[0].items or [])[0]))["metadata"]["futureField"] == {
        "deep": [1, {"x": 2}]
    }


async def test_an_update_from_a_stale_version_is_refused(
    apiserver: FakeApiServer, client: Client
) -> None:
    key = ObjectKey("default", "settings")
    old = decode_object(encode(apiserver.create(CONFIG_MAPS, a_config_map(color="red"))))
    apiserver.patch(CONFIG_MAPS, key, {"data": {"color": "blue"}})
    error = await _error(client.update(CONFIG_MAPS, key, encode(old)))
    assert (error.status, error.reason) == (409, "Conflict")
    found = apiserver.live(CONFIG_MAPS, key)
    assert found["data"] == {"color": "blue"}


async def test_a_delete_of_another_object_of_the_same_name_is_refused(
    apiserver: FakeApiServer, client: Client
) -> None:
    first = apiserver.create(PODS, a_pod())
    apiserver.delete(PODS, WEB)
    apiserver.create(PODS, a_pod())
    error = await _error(client.delete(PODS, WEB, uid=first["metadata"]["uid"]))
    assert isinstance(error, Conflict)
    assert apiserver.get(PODS, WEB) is not None


async def test_a_patch_can_carry_the_uid_as_a_precondition(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(PODS, a_pod())
    patch = encode({"metadata": {"uid": "another", "labels": {"a": "b"}}})
    assert isinstance(await _error(client.patch(PODS, WEB, Patch.MERGE, patch)), Invalid)
    assert "labels" not in apiserver.live(PODS, WEB)["metadata"]


async def test_a_grace_period_is_passed_on(apiserver: FakeApiServer, client: Client) -> None:
    pod = apiserver.create(PODS, a_pod())
    apiserver.bind(PODS, WEB, "node-1")
    await client.delete(PODS, WEB, uid=pod["metadata"]["uid"], grace_period_seconds=7)
    found = apiserver.live(PODS, WEB)
    assert found["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_a_binding_and_a_token_are_posted_to_their_subresource(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(PODS, a_pod())
    binding = encode({"target": {"kind": "Node", "name": "node-1"}})
    await client.create(PODS, WEB, binding, subresource="binding")
    pod = apiserver.live(PODS, WEB)
    assert pod["spec"]["nodeName"] == "node-1"
    assert isinstance(await _error(client.create(PODS, WEB, binding, "binding")), Conflict)


async def test_a_status_patch_leaves_the_spec_alone(
    apiserver: FakeApiServer, client: Client
) -> None:
    before = apiserver.create(PODS, a_pod())
    patch = encode({"status": {"phase": "Running"}, "spec": {"nodeName": "elsewhere"}})
    await client.patch(PODS, WEB, Patch.MERGE, patch, subresource="status")
    after = apiserver.live(PODS, WEB)
    assert after["status"]["phase"] == "Running"
    assert after["spec"] == before["spec"]


async def test_an_apply_creates_and_then_changes_only_what_it_names(
    apiserver: FakeApiServer, client: Client
) -> None:
    key = ObjectKey("default", "settings")
    await client.patch(CONFIG_MAPS, key, Patch.APPLY, encode(a_config_map(color="red")))
    apiserver.patch(CONFIG_MAPS, key, {"data": {"of": "others"}})
    await client.patch(CONFIG_MAPS, key, Patch.APPLY, encode(a_config_map(color="blue")))
    found = apiserver.live(CONFIG_MAPS, key)
    assert found["data"] == {"color": "blue", "of": "others"}


async def test_a_failed_test_of_a_json_patch_changes_nothing(
    apiserver: FakeApiServer, client: Client
) -> None:
    key = ObjectKey("default", "settings")
    apiserver.create(CONFIG_MAPS, a_config_map(color="red"))
    operations = [
        {"op": "replace", "path": "/data/color", "value": "blue"},
        {"op": "test", "path": "/data/color", "value": "green"},
    ]
    error = await _error(client.patch(CONFIG_MAPS, key, Patch.JSON, encode(operations)))
    assert isinstance(error, Invalid)
    found = apiserver.live(CONFIG_MAPS, key)
    assert found["data"] == {"color": "red"}


async def test_metadata_only_means_that_no_contents_travel(
    apiserver: FakeApiServer, client: Client
) -> None:
    key = ObjectKey("default", "settings")
    apiserver.create(CONFIG_MAPS, a_config_map(secret="of-the-tenant"))
    body = await client.get(CONFIG_MAPS, key, metadata_only=True)
    page = await anext(client.pages(CONFIG_MAPS, metadata_only=True))
    for raw in (body, bytes((page.items or [])[0])):
        assert b"of-the-tenant" not in raw
        assert decode_head(raw).metadata.name == "settings"


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"type":"ADDED","object":{"a":{}}}', WatchEvent("ADDED", b'{"a":{}}')),
        (b'{"type":"DELETED","object":{}}', WatchEvent("DELETED", b"{}")),
        (b'{"object":{"a":1},"type":"MODIFIED"}', WatchEvent("MODIFIED", b'{"a":1}')),
        (b'{ "type": "ADDED", "object": {"a":{}} }', WatchEvent("ADDED", b'{"a":{}}')),
        (b'{"type":"BOOKMARK","object":{"b":{}}}', WatchEvent("BOOKMARK", b'{"b":{}}')),
    ],
)
def test_the_object_of_an_event_is_cut_out_however_the_line_is_written(
    line: bytes, event: WatchEvent
) -> None:
    assert decode_watch_event(line) == event


async def _error(call: Awaitable[bytes]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value

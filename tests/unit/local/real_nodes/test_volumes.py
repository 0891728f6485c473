"""Volumes are made for claims, in folders, and go with them: whenever the program was killed."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube.client import Client
from kube.connection import Credentials, FixedCredentials
from kube.errors import ApiError
from kube.http2.transport import transport_for
from kube.objects import Object, ObjectKey
from kube.resources import (
    EVENTS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
)
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually
from vcluster.local.real_nodes.folders import (
    CLASS,
    PROVISIONER,
    WAITS_FOR,
    problem,
    storage_class,
    volume,
    waits_for_us,
)
from vcluster.local.real_nodes.site import LABEL
from vcluster.local.real_nodes.volumes import serve, settle


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """An API server with our class."""
    server = FakeApiServer()
    await server.start()
    server.create(STORAGE_CLASSES, storage_class())
    server.create(NAMESPACES, {"metadata": {"name": "shop"}})
    yield server
    await server.stop()


@pytest.fixture
async def client(server: FakeApiServer) -> AsyncIterator[Client]:
    """A client of it."""
    client = Client(transport_for(FixedCredentials(Credentials(server=server.url, ca=b""))))
    yield client
    await client.close()


def a_claim(name: str = "data", **spec: object) -> Object:
    """A claim that the volume controller has said is ours to serve."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "annotations": {WAITS_FOR[0]: PROVISIONER},
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": CLASS,
            "volumeMode": "Filesystem",
            **spec,
        },
    }


def release(server: FakeApiServer, found: Object) -> None:
    """What the volume controller does when the claim is gone."""
    key = ObjectKey("", found["metadata"]["name"])
    server.patch(PERSISTENT_VOLUMES, key, {"status": {"phase": "Released"}}, "status")


async def test_a_claim_gets_a_folder_that_every_real_node_has(
    server: FakeApiServer, client: Client, tmp_path: Path
) -> None:
    claim = server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await settle(client, tmp_path)
    await settle(client, tmp_path)
    [made] = server.objects(PERSISTENT_VOLUMES)
    folder = tmp_path / f"pvc-{claim['metadata']['uid']}"
    spec = made["spec"]
    assert spec["local"] == {"path": str(folder)}
    assert spec["claimRef"]["uid"] == claim["metadata"]["uid"]
    assert (spec["capacity"], spec["accessModes"]) == ({"storage": "1Gi"}, ["ReadWriteMany"])
    [term] = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["key"] == LABEL
    assert folder.stat().st_mode & 0o777 == 0o777, "pods run as anybody"


async def test_what_is_released_goes_with_its_data_and_nothing_else_does(
    server: FakeApiServer, client: Client, tmp_path: Path
) -> None:
    for name in ("data", "kept"):
        server.create(PERSISTENT_VOLUME_CLAIMS, a_claim(name))
    await settle(client, tmp_path)
    gone, kept = sorted(
        server.objects(PERSISTENT_VOLUMES), key=lambda found: found["spec"]["claimRef"]["name"]
    )
    others = a_claim() | {"metadata": {"uid": "x", "name": "x", "namespace": "x"}}
    foreign = volume(others, storage_class(), tmp_path)
    foreign["metadata"]["annotations"] = {}
    (tmp_path / "pvc-x").mkdir()
    for found in (gone, server.create(PERSISTENT_VOLUMES, foreign)):
        (tmp_path / found["metadata"]["name"] / "inner").mkdir()
        release(server, found)
    await settle(client, tmp_path)
    left = {kept["metadata"]["name"], "pvc-x"}
    assert set(os.listdir(tmp_path)) == left
    assert {found["metadata"]["name"] for found in server.objects(PERSISTENT_VOLUMES)} == left


async def test_a_kept_volume_keeps_its_data(
    server: FakeApiServer, client: Client, tmp_path: Path
) -> None:
    keeping = storage_class() | {"reclaimPolicy": "Retain", "metadata": {"name": "keeping"}}
    server.create(STORAGE_CLASSES, keeping)
    server.create(PERSISTENT_VOLUME_CLAIMS, a_claim(storageClassName="keeping"))
    await settle(client, tmp_path)
    [made] = server.objects(PERSISTENT_VOLUMES)
    release(server, made)
    await settle(client, tmp_path)
    assert server.objects(PERSISTENT_VOLUMES)
    assert (tmp_path / made["metadata"]["name"]).is_dir()


async def test_a_folder_without_volume_goes_unless_it_holds_something(
    client: Client, tmp_path: Path
) -> None:
    for name in ("pvc-empty", "pvc-full/data"):
        (tmp_path / name).mkdir(parents=True)
    await settle(client, tmp_path)
    assert os.listdir(tmp_path) == ["pvc-full"]


async def test_one_claim_that_fails_does_not_hold_up_the_others(
    server: FakeApiServer, client: Client, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        server.create(PERSISTENT_VOLUME_CLAIMS, a_claim(name))
    server.script.add("POST", "persistentvolumes$", Answer(422))
    with pytest.raises(ApiError):
        await settle(client, tmp_path)
    assert len(server.objects(PERSISTENT_VOLUMES)) == 1
    await settle(client, tmp_path)
    assert len(server.objects(PERSISTENT_VOLUMES)) == 2


async def test_what_cannot_be_served_is_said_once(
    server: FakeApiServer, client: Client, tmp_path: Path
) -> None:
    server.create(PERSISTENT_VOLUME_CLAIMS, a_claim(volumeMode="Block"))
    await settle(client, tmp_path)
    await settle(client, tmp_path)
    [event] = server.objects(EVENTS)
    assert event["message"] == "spec.volumeMode 'Block' is not served: a folder is no block device"
    assert not server.objects(PERSISTENT_VOLUMES)


async def test_changes_are_seen_and_failures_survived(
    server: FakeApiServer, client: Client, tmp_path: Path
) -> None:
    server.script.add("LIST", "persistentvolumeclaims", Answer(500))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(client, tmp_path))
        await eventually(lambda: server.open_watches == 2, "it watches")
        server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
        [made] = await eventually(lambda: server.objects(PERSISTENT_VOLUMES), "it has made one")
        release(server, made)

        def is_gone() -> bool:
            """Another one of that name may follow at once: the claim still waits here."""
            uids = {found["metadata"]["uid"] for found in server.objects(PERSISTENT_VOLUMES)}
            return made["metadata"]["uid"] not in uids

        await eventually(is_gone, "it has removed it")
        serving.cancel()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        ({"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}, "spec.dataSource"),
    ],
)
def test_what_a_claim_asks_in_vain_is_named(change: Object, said: str) -> None:
    assert said in problem(a_claim(**change), storage_class())


def test_a_class_with_parameters_is_refused() -> None:
    assert "parameters of StorageClass standard" in problem(
        a_claim(), storage_class() | {"parameters": {"path": "/etc"}}
    )


def test_claims_of_others_are_not_ours() -> None:
    assert waits_for_us(a_claim())
    assert not waits_for_us(a_claim(volumeName="pv"))
    other = a_claim()
    other["metadata"]["annotations"] = {WAITS_FOR[0]: "ebs.csi.aws.com"}
    assert not waits_for_us(other)
    going = a_claim()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not waits_for_us(going)

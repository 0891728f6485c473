"""Fixtures: a world, with one tenant in step."""

from collections.abc import AsyncIterator

import pytest

from kube.objects import ObjectKey
from kube.resources import NODES
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A super cluster without tenants; the syncer does not run yet."""
    world = World()
    await world.start()
    yield world
    await world.close()


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    """A tenant that is mirrored, and sees the node."""
    cluster = await world.add_tenant("acme")
    await world.start_syncer()
    await eventually(lambda: cluster.server.get(NODES, ObjectKey("", "node-1")), "node-1 is up")
    return cluster

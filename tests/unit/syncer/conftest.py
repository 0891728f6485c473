"""Fixtures: a world, with one tenant in step; or only the two API servers."""

from collections.abc import AsyncIterator

import pytest

from kube.objects import ObjectKey
from kube.resources import NODES
from tests.fakes.waiting import eventually
from tests.unit.syncer.both import Both
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


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    """Two API servers, and what a syncer knows of them."""
    both = Both()
    await both.start()
    yield both
    await both.stop()

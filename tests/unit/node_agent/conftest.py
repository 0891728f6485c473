"""A node agent that runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.node_agent.world import World, running_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An agent before a kubelet, with two tenants that each run ``default/web``."""
    async with running_world(tmp_path) as running:
        yield running

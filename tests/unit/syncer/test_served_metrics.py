"""What the syncer serves about itself."""

from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kube.objects import ObjectKey
from kube.resources import PODS
from syncer.runtime.allowance import LEAST
from tests.builders import a_pod
from tests.unit.syncer.world import TenantCluster, World

Served = dict[tuple[str, str], float]
"""By name and tenant."""


async def served(port: str) -> Served:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        text = await answer.text()
    return {
        (sample.name, sample.labels.get("tenant", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_turns_at_the_super_cluster_are_served(
    world: World, acme: TenantCluster, tmp_path: Path
) -> None:
    await world.kill_syncer()
    await world.start_syncer(port_file=str(tmp_path / "port"))
    port = (tmp_path / "port").read_text()
    before = await served(port)
    acme.server.create(PODS, a_pod())
    await acme.goes_down(PODS, ObjectKey("default", "web"))
    after = await served(port)
    turns = "syncer_turn_wait_seconds_count", ""
    assert after[turns] > before[turns]
    assert after["syncer_turns", ""] >= LEAST
    assert after["syncer_turns_waiting", acme.tenant.key] == 0

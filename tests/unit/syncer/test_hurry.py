"""Who finds a server well again has all tried that waits for it: nothing waits out its turn.

Here every turn is hours long, so what is not hurried does not come about.
"""

from collections import Counter

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from kube.objects import ObjectKey
from kube.resources import PODS
from syncer import metrics
from syncer.runtime import controller, informer
from syncer.runtime.breaker import OPENS_AFTER
from syncer.settings import Settings
from tests.builders import a_pod
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World

HOURS = 36_000.0
BEFORE, WEB = ObjectKey("default", "before"), ObjectKey("default", "web")


@pytest.fixture
async def acme(world: World, monkeypatch: pytest.MonkeyPatch) -> TenantCluster:
    """A tenant with a pod that runs; from now on what fails waits for hours."""
    monkeypatch.setattr(informer, "FIRST_DELAY", HOURS)
    monkeypatch.setattr(informer, "LONGEST_DELAY", HOURS)
    cluster = await world.add_tenant("acme")
    # A syncer that has stopped writing begins anew with everything, which is not what is looked at here.
    await world.start_syncer(lease_seconds=int(HOURS))
    cluster.server.create(PODS, a_pod("before"))
    await cluster.runs(BEFORE)
    await world.nothing_to_do()
    monkeypatch.setattr(controller, "FIRST_DELAY", HOURS)
    monkeypatch.setattr(controller, "LONGEST_DELAY", HOURS)
    return cluster


def watches(server: FakeApiServer, since: int = 0) -> Counter[tuple[str, str, str]]:
    """What has been watched, by path and selectors; of the log from an entry on."""
    return Counter(
        (call.path, call.query.get("labelSelector", ""), call.query.get("fieldSelector", ""))
        for call in server.script.log[since:]
        if call.verb == "WATCH" and call.namespace != Settings().namespace  # the members' own
    )


async def goes_away(server: FakeApiServer) -> None:
    """And every watch has noticed."""
    broken = server.open_watches
    with capture_logs() as logs:

        def interrupted() -> list[EventDict]:
            return [entry for entry in logs if entry["event"] == "watch interrupted"]

        await server.stop()
        await eventually(lambda: len(interrupted()) >= broken, "all watches are broken")


@pytest.mark.parametrize("first", ["nodes", "pods", "services"])
async def test_one_watch_that_finds_the_super_cluster_well_has_all_tried(
    world: World, acme: TenantCluster, first: str
) -> None:
    known = watches(world.super)
    refusal = world.super.script.add_for_good("POST", "/pods$", Answer(500))
    acme.server.create(PODS, a_pod())
    await eventually(lambda: refusal.hits, "the pod was refused")
    refusal.remove()
    await goes_away(world.super)
    await world.super.start()
    back = len(world.super.script.log)
    found = world.syncers["syncer"].app._watches
    [chosen] = [one for one in (*found.published, *found._informers()) if one.plural == first]
    assert not watches(world.super, back), "all of them rest"
    chosen.hurry()
    await eventually(lambda: watches(world.super, back) == known, "all watches are open again")
    await acme.goes_down(PODS, WEB)


async def test_a_tenants_server_that_answers_a_probe_has_all_tried(
    world: World, acme: TenantCluster
) -> None:
    known = watches(acme.server)
    keys = [ObjectKey("default", f"pod-{number}") for number in range(OPENS_AFTER)]
    for key in keys:
        acme.server.create(PODS, a_pod(key.name))
        await acme.goes_down(PODS, key)
    await world.nothing_to_do()
    await goes_away(acme.server)
    for key in keys:
        acme.start_pod(key)
    await eventually(lambda: held(acme), "the tenant is held back")
    back = len(acme.server.script.log)
    await acme.server.start()
    await eventually(lambda: watches(acme.server, back) == known, "all watches are open again")
    for key in keys:
        await acme.shows(key, "Running")


def held(cluster: TenantCluster) -> bool:
    """Whether its requests are held back, and its API server only probed."""
    labels = {"tenant": cluster.tenant.key}
    return metrics.REGISTRY.get_sample_value("syncer_breaker_open", labels) == 1

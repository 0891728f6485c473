"""The certificates of a pod: renewed in time, kept through a restart, gone with the pod."""

import time
from base64 import b64decode

from kube.objects import Object, ObjectKey, encode
from kube.resources import (
    POD_CERTIFICATE_REQUESTS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from syncer.kinds.pod_certificates import timestamp
from syncer.reconcilers import certificates, tokens
from syncer.session import RENEWAL_CHECK_SECONDS
from tests import signer
from tests.builders import a_pod
from tests.fakes.faults import Hang
from tests.fakes.waiting import eventually
from tests.signer import Signer
from tests.unit.syncer.both import NAMESPACE, Both
from tests.unit.syncer.certified import (
    ASKED,
    BUNDLE,
    ONE,
    WEB,
    Certified,
    asked_for,
    in_order,
    public,
)
from tests.unit.syncer.world import TenantCluster, World


async def test_a_certificate_stays_until_its_successor_is_there(both: Both) -> None:
    found = Certified(both, ONE)
    before = await found.issued()
    now = time.time()
    found.restart(due=now - 60, end=now + 1800)
    assert both.state.renewals[found.key] <= now
    await found.look()
    assert found.data[BUNDLE] == before
    found.answer(found.requests[1])
    assert await found.look() > now + 3600
    after = found.data[BUNDLE]
    assert public(after) != public(before)
    assert public(after) == asked_for(found.requests[1])
    assert found.mark > now + 3600
    assert not found.events


async def test_a_certificate_whose_renewal_is_refused_stays(both: Both) -> None:
    found = Certified(both, ONE)
    before = await found.issued()
    found.restart(due=time.time() - 60, end=time.time() + 1800)
    await found.look()
    found.answer(found.requests[1], signer.refused("Denied", "NoMore", ""))
    await found.look()
    assert found.data[BUNDLE] == before
    assert [reason for reason, _ in found.events] == ["Denied"]


async def test_a_restart_keeps_what_is_still_good(both: Both) -> None:
    found = Certified(both, ONE)
    before, due = await found.issued(), await found.look()
    found.restart()
    assert both.state.renewals[found.key] == int(due)
    assert await found.look() == int(due)
    assert found.data[BUNDLE] == before
    assert len(found.requests) == 1


async def test_a_restart_while_a_request_waits_begins_anew(both: Both) -> None:
    """The key of the first one has gone with the memory: its certificate would be of no use."""
    found = Certified(both, ONE)
    await found.provide()
    found.restart()
    assert both.state.renewals[found.key] <= time.time()
    await found.look()
    first, second = found.requests
    found.answer(first)
    await found.look()
    assert not found.data
    found.answer(second)
    await found.look()
    assert public(found.data[BUNDLE]) == asked_for(second)


async def test_a_renewal_that_is_late_is_told_once(both: Both) -> None:
    found = Certified(both, ONE)
    await found.issued()
    found.restart(due=time.time() - 601, end=time.time() - 1)
    for _ in range(3):
        await found.look()
    assert sorted(found.events) == [
        ("CertificateExpired", "PodCertificate expired"),
        ("CertificateOverdueForRefresh", "PodCertificate refresh overdue"),
    ]
    found.answer(found.requests[1])
    await found.look()
    [issuing] = both.state.renewals.issuing[found.key].values()
    assert not issuing.overdue
    assert not issuing.ended


async def test_a_signer_that_wants_to_be_asked_all_the_time_is_not(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    [request] = found.requests
    past = timestamp(time.time() - 3600)
    found.answer(request, found.signer.issued(request) | {"beginRefreshAt": past})
    assert await found.look() - time.time() > certificates.SOONEST_SECONDS - 10


async def test_the_certificates_go_with_their_pod_and_the_keys_with_them(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    uid = found.pod["metadata"]["uid"]
    await tokens.remove_of_pod(both.super_state, both.state, "default", uid)
    assert both.super.objects(SECRETS, NAMESPACE) == []
    assert both.state.renewals == {}
    assert both.state.renewals.issuing == {}


async def test_another_pod_of_the_name_gets_none_of_them(both: Both) -> None:
    found = Certified(both, ONE)
    await found.issued()
    both.tenant.delete(PODS, WEB, grace=0)
    both.a_pod(ONE)
    assert await tokens.renew(both.super_state, both.state, found.key) is None
    assert both.super.get(SECRETS, found.key) is None
    assert both.state.renewals.issuing == {}


async def test_certificates_whose_secret_somebody_deletes_are_asked_for_anew(both: Both) -> None:
    found = Certified(both, ONE)
    before = await found.issued()
    secrets = both.super_state.mirrors[SECRETS.plural]
    secret = found.secret
    both.super.delete(SECRETS, found.key)
    secrets.remove(encode(secret))
    await found.provide()
    found.answer(found.requests[-1])
    await found.look()
    assert public(found.data[BUNDLE]) != public(before)


async def test_a_clock_that_was_set_back_delays_no_renewal(both: Both) -> None:
    found = Certified(both, ONE)
    await found.issued()
    [issuing] = both.state.renewals.issuing[found.key].values()
    both.state.renewals.advance(issuing.due - time.time() + 1)
    await found.look()
    assert len(found.requests) == 2
    [issuing] = both.state.renewals.issuing[found.key].values()
    assert issuing.due > 0, "there is one still"


SOON = RENEWAL_CHECK_SECONDS - 1
"""The rounds of renewals begin when the tenant is in step: without a sign, it takes one to be heard."""


def a_pod_that_asks(**fields: object) -> Object:
    source = {"podCertificate": ASKED | fields}
    return a_pod(volumes=[{"name": "v", "projected": {"sources": [source]}}])


async def requests_of(acme: TenantCluster, number: int) -> list[Object]:
    """Wait until so many have been made."""

    def made() -> list[Object] | None:
        found = in_order(acme.server)
        return found if len(found) >= number else None

    return await eventually(made, f"{number} requests are made")


async def test_a_pod_gets_its_certificate_when_it_is_bound_and_it_goes_with_the_pod(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    acme.server.create(PODS, a_pod_that_asks())
    await acme.goes_down(PODS, WEB)
    assert not acme.server.objects(POD_CERTIFICATE_REQUESTS), "it names the node"
    start = time.time()
    await acme.runs(WEB)
    [request] = await requests_of(acme, 1)
    assert time.time() - start < SOON, "nobody has waited for the next round of renewals"
    assert request["spec"]["nodeName"] == "node-1"
    await world.kill_syncer()
    await world.start_syncer()
    _, request = await requests_of(acme, 2)
    key = ObjectKey("default", request["metadata"]["name"])
    status, start = {"status": Signer().issued(request)}, time.time()
    acme.server.patch(POD_CERTIFICATE_REQUESTS, key, status, "status")
    below = acme.mirror_key(WEB).namespace

    def there() -> Object | None:
        [secret] = world.super.objects(SECRETS, below)
        return secret.get("data")

    data = await eventually(there, "the certificate is there")
    assert time.time() - start < SOON
    assert public(b64decode(data[BUNDLE]).decode()) == asked_for(request)
    acme.server.delete(PODS, WEB, grace=0)
    await eventually(
        lambda: "deletionTimestamp" in (acme.mirror(PODS, WEB) or {})["metadata"], "it ends below"
    )
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)
    await eventually(lambda: not world.super.objects(SECRETS, below), "the certificate is gone")


async def test_a_refusal_that_comes_for_a_lost_secret_is_not_held_against_the_next(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    acme.server.create(PODS, a_pod_that_asks())
    await acme.runs(WEB)
    [request] = await requests_of(acme, 1)
    looks = acme.server.script.add("GET", "/podcertificaterequests/", Hang())
    await eventually(lambda: looks.hits, "it is looked at")
    below = acme.mirror_key(WEB).namespace
    [secret] = world.super.objects(SECRETS, below)
    world.super.delete(SECRETS, ObjectKey(below, secret["metadata"]["name"]))

    def another() -> bool:
        found = [one["metadata"]["uid"] for one in world.super.objects(SECRETS, below)]
        return bool(found) and found != [secret["metadata"]["uid"]]

    await eventually(another, "there is another one")
    key = ObjectKey("default", request["metadata"]["name"])
    status = {"status": signer.refused("Denied", "NotYou", "")}
    acme.server.patch(POD_CERTIFICATE_REQUESTS, key, status, "status")
    looks.remove()
    await acme.told("Denied")
    await requests_of(acme, 2)

"""The certificates of a pod: asked for in its own cluster, renewed in time, gone with the pod."""

import math
import time
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from kube.objects import Object, ObjectKey, encode
from kube.resources import (
    EVENTS,
    NODES,
    POD_CERTIFICATE_REQUESTS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from syncer.entries import renewal_time
from syncer.kinds.pod_certificates import certificate_secret_name, timestamp
from syncer.reconcilers import certificates, tokens
from tests import signer
from tests.builders import a_node, a_pod
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, Cut
from tests.fakes.waiting import eventually
from tests.signer import Signer
from tests.unit.syncer.both import NAMESPACE, Both
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

ASKED = {
    "signerName": signer.NAME,
    "keyType": "ECDSAP256",
    "credentialBundlePath": "bundle.pem",
    "maxExpirationSeconds": 7200,
}
ONE = {"podCertificate": ASKED}
BUNDLE, TIMES = "podCertificate.v.0.bundle", "podCertificate.v.0.times"
WEB = ObjectKey("default", "web")


class Certified:
    """A bound pod, and what becomes of its certificates."""

    def __init__(self, both: Both, *sources: Object, shown: bool = True) -> None:
        self.both, self.signer = both, Signer()
        self.node = both.tenant.create(NODES, a_node())
        if shown:
            self.show_node()
        both.a_pod(*sources)
        both.tenant.bind(PODS, WEB, "node-1")
        self.pod = both.tenant.live(PODS, WEB)
        both.state.pods.put(encode(self.pod))
        self.key = ObjectKey(NAMESPACE, certificate_secret_name(self.pod["metadata"]["uid"]))

    def show_node(self) -> None:
        """The syncer sees the tenant's node."""
        self.both.state.copies[NODES.plural].put(encode(self.node))

    async def provide(self) -> float:
        """The pod has its node; when to look again."""
        await tokens.provide(self.both.super_state, self.both.state, self.pod)
        return await self.look()

    async def look(self) -> float:
        """What the syncer does when the time for it has come."""
        due = await tokens.renew(self.both.super_state, self.both.state, self.key)
        assert due is not None
        return due

    @property
    def requests(self) -> list[Object]:
        return in_order(self.both.tenant)

    def answer(self, request: Object, status: Object | None = None) -> None:
        """Do what a signer does: issue what is asked for, or say this."""
        key = ObjectKey("default", request["metadata"]["name"])
        patch = {"status": status or self.signer.issued(request)}
        self.both.tenant.patch(POD_CERTIFICATE_REQUESTS, key, patch, "status")

    @property
    def secret(self) -> Object:
        return self.both.super.live(SECRETS, self.key)

    @property
    def data(self) -> dict[str, str]:
        found = self.secret.get("data") or {}
        return {name: b64decode(text).decode() for name, text in found.items()}

    @property
    def mark(self) -> float:
        return renewal_time(self.secret["metadata"]["annotations"][api.EXPIRES_ANNOTATION])

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(one["reason"], one["message"]) for one in self.both.tenant.objects(EVENTS)]

    async def issued(self) -> str:
        """Let the pod get what it asks for; the file with its key and certificate."""
        await self.provide()
        self.answer(self.requests[-1])
        await self.look()
        return self.data[BUNDLE]

    def restart(self, **times: float) -> None:
        """The syncer's memory is lost; meanwhile it is as late as ``due`` and ``end`` say."""
        if times:
            text = f"{timestamp(times['due'])} {timestamp(times['end'])}"
            metadata = {"annotations": {api.EXPIRES_ANNOTATION: timestamp(times["due"])}}
            data = {TIMES: b64encode(text.encode()).decode()}
            patch = {"metadata": metadata, "data": data}
            self.both.super.patch(SECRETS, self.key, patch)
        state, secrets = self.both.state, self.both.super_state.mirrors[SECRETS.plural]
        state.issuing.clear()
        state.renewals.clear()
        secrets.put(encode(self.secret))
        entry = secrets.get(self.key)
        assert entry is not None
        state.token_found(self.key, entry)


def in_order(tenant: FakeApiServer) -> list[Object]:
    """The requests that were made, the oldest first."""
    made = [call.json["spec"] for call in tenant.script.calls("POST", "podcertificaterequests")]
    found = tenant.objects(POD_CERTIFICATE_REQUESTS)
    return sorted(found, key=lambda request: made.index(request["spec"]))


def public(pem: str) -> Any:
    """The public half of the key in a file."""
    return load_pem_private_key(pem.encode(), None).public_key()


def asked_for(request: Object) -> Any:
    """The public key that a request is about."""
    return x509.load_der_x509_csr(b64decode(request["spec"]["stubPKCS10Request"])).public_key()


async def test_a_pod_waits_for_its_signer_and_is_looked_at_again_soon(both: Both) -> None:
    found = Certified(both, ONE)
    due = await found.provide()
    [request] = found.requests
    assert request["spec"]["podUID"] == found.pod["metadata"]["uid"]
    assert request["spec"]["nodeUID"] == found.node["metadata"]["uid"]
    account = both.tenant.live(SERVICE_ACCOUNTS, ObjectKey("default", "default"))
    assert request["spec"]["serviceAccountUID"] == account["metadata"]["uid"]
    assert due - time.time() <= certificates.LOOK_SECONDS
    assert await found.look() - time.time() <= certificates.LOOK_SECONDS
    assert len(found.requests) == 1
    assert not found.data, "so the kubelet cannot mount it yet"


async def test_who_waits_long_is_looked_at_less_often(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    [issuing] = both.state.issuing[found.key].values()
    assert issuing.asked is not None
    for waited, pause in ((40, 10), (4000, certificates.SELDOM_SECONDS)):
        issuing.asked.since = time.time() - waited
        assert await found.look() - time.time() == pytest.approx(pause, abs=1)


async def test_the_pod_gets_its_key_with_what_its_signer_issued(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    found.answer(found.requests[0])
    due = await found.look()
    bundle = found.data[BUNDLE]
    leaf, authority = x509.load_pem_x509_certificates(bundle.encode())
    assert leaf.public_key() == public(bundle) == asked_for(found.requests[0])
    assert authority.public_bytes(Encoding.PEM) == found.signer.authority.public_bytes(Encoding.PEM)
    assert signer.identity_of(bundle) == "spiffe://cluster.local/ns/default/sa/default"
    begin = datetime.fromisoformat(found.requests[0]["status"]["beginRefreshAt"]).timestamp()
    assert begin <= due <= begin + certificates.JITTER_SECONDS
    assert found.mark == pytest.approx(due, abs=1), "so that a syncer that is started knows"
    assert await found.look() == due
    assert len(found.requests) == 1


async def test_each_source_is_issued_by_itself(both: Both) -> None:
    found = Certified(both, ONE, ONE)
    await found.provide()
    first, second = found.requests
    assert asked_for(first) != asked_for(second)
    found.answer(second)
    await found.look()
    [bundle] = [text for name, text in found.data.items() if name.endswith(".bundle")]
    assert public(bundle) == asked_for(second)
    assert found.mark == 0, "a syncer that is started looks at once: the other is not there"
    found.answer(first)
    await found.look()
    assert len(found.data) == 4
    assert found.mark > time.time()


@pytest.mark.parametrize(
    ("kind", "ended"), [("Denied", "was denied"), ("Failed", "failed")], ids=["denied", "failed"]
)
async def test_a_pod_whose_request_is_refused_is_told_and_never_gets_it(
    both: Both, kind: str, ended: str
) -> None:
    found = Certified(both, ONE)
    await found.provide()
    found.answer(found.requests[0], signer.refused(kind, "NotYou", "not for web"))
    assert await found.look() == math.inf
    name = found.requests[0]["metadata"]["name"]
    message = (
        f'PodCertificateRequest default/{name} {ended}, reason="NotYou", message="not for web"'
    )
    assert found.events == [(kind, message)]
    assert not found.data
    assert await found.look() == math.inf
    assert len(found.requests) == len(found.events) == 1
    found.restart()
    assert both.state.renewals[found.key] <= time.time()
    await found.look()
    assert len(found.requests) == 2, "as a kubelet that is restarted"


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
    [issuing] = both.state.issuing[found.key].values()
    assert not issuing.overdue
    assert not issuing.ended


async def test_a_request_that_somebody_deletes_is_made_again(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    name = found.requests[0]["metadata"]["name"]
    both.tenant.delete(POD_CERTIFICATE_REQUESTS, ObjectKey("default", name))
    assert await found.look() - time.time() > 1, "in a while, whoever deletes them"
    await found.look()
    assert len(found.requests) == 1


async def test_what_the_super_cluster_does_not_take_is_written_again(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    found.answer(found.requests[0])
    both.super.script.add("PATCH", "/secrets/", Answer(500))
    await found.look()
    assert not found.data
    await found.look()
    assert public(found.data[BUNDLE]) == asked_for(found.requests[0])
    assert len(found.requests) == 1


@pytest.mark.parametrize("effect", [Answer(403), Cut(done=True)], ids=["refused", "not answered"])
async def test_a_request_that_is_not_taken_is_made_again(both: Both, effect: Any) -> None:
    found = Certified(both, ONE)
    both.tenant.script.add("POST", "/podcertificaterequests$", effect)
    await found.provide()
    await found.look()
    for request in found.requests:  # one whose answer was lost is there, too
        found.answer(request)
    await found.look()
    assert public(found.data[BUNDLE]) == asked_for(found.requests[-1])


async def test_no_request_is_made_before_the_tenant_has_the_node(both: Both) -> None:
    found = Certified(both, ONE, shown=False)
    await found.provide()
    assert not found.requests
    found.show_node()
    await found.look()
    assert len(found.requests) == 1


NONSENSE: dict[str, Object] = {
    "no times": {"beginRefreshAt": None, "notAfter": None},
    "no time at all": {"notAfter": "soon"},
    "no chain": {"certificateChain": 7},
    "the end of the calendar": {"beginRefreshAt": "9999-12-31T23:59:59Z"},
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_from_an_api_server_of_a_tenants_own_ends_nothing(
    both: Both, nonsense: Object
) -> None:
    """It may serve the group itself."""
    found = Certified(both, ONE)
    await found.provide()
    [request] = found.requests
    found.answer(request, found.signer.issued(request) | nonsense)
    assert await found.look() - time.time() > 1
    assert not found.data


async def test_a_signer_that_wants_to_be_asked_all_the_time_is_not(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    [request] = found.requests
    past = timestamp(time.time() - 3600)
    found.answer(request, found.signer.issued(request) | {"beginRefreshAt": past})
    assert await found.look() - time.time() > certificates.SOONEST_SECONDS - 10


async def test_a_type_of_key_that_nobody_knows_ends_nothing(both: Both) -> None:
    found = Certified(both, {"podCertificate": ASKED | {"keyType": "DSA1024"}}, ONE)
    await found.provide()
    assert len(found.requests) == 1, "the other one's"


async def test_the_certificates_go_with_their_pod_and_the_keys_with_them(both: Both) -> None:
    found = Certified(both, ONE)
    await found.provide()
    uid = found.pod["metadata"]["uid"]
    await tokens.remove_of_pod(both.super_state, both.state, "default", uid)
    assert both.super.objects(SECRETS, NAMESPACE) == []
    assert both.state.renewals == both.state.issuing == {}


async def test_another_pod_of_the_name_gets_none_of_them(both: Both) -> None:
    found = Certified(both, ONE)
    await found.issued()
    both.tenant.delete(PODS, WEB, grace=0)
    both.a_pod(ONE)
    assert await tokens.renew(both.super_state, both.state, found.key) is None
    assert both.super.get(SECRETS, found.key) is None
    assert both.state.issuing == {}


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
    [issuing] = both.state.issuing[found.key].values()
    both.state.advance_renewals(issuing.due - time.time() + 1)
    await found.look()
    assert len(found.requests) == 2
    [issuing] = both.state.issuing[found.key].values()
    assert issuing.due > 0, "there is one still"


async def test_no_key_leaves_for_the_tenant(both: Both, capsys: Any) -> None:
    """Law 8: neither by requests and Events, nor by what is logged."""
    found = Certified(both, ONE)
    both.super.script.add("PATCH", "/secrets/", Answer(422))
    await found.provide()
    [issuing] = both.state.issuing[found.key].values()
    assert issuing.asked is not None
    secret_line = issuing.asked.key.pem.splitlines()[1]
    assert secret_line not in repr(both.state.issuing)
    found.answer(found.requests[0])
    await found.look()
    await found.look()
    assert secret_line in found.data[BUNDLE]
    for call in both.tenant.script.log:
        assert secret_line.encode() not in call.body
    written = capsys.readouterr()
    assert "certificate not obtained" in written.out + written.err
    assert secret_line not in written.out + written.err


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
    await acme.runs(WEB)
    [request] = await requests_of(acme, 1)
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
    assert time.time() - start < 5, "nobody has waited for the next round of renewals"
    assert public(b64decode(data[BUNDLE]).decode()) == asked_for(request)
    acme.server.delete(PODS, WEB, grace=0)
    await eventually(
        lambda: "deletionTimestamp" in (acme.mirror(PODS, WEB) or {})["metadata"], "it ends below"
    )
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)
    await eventually(lambda: not world.super.objects(SECRETS, below), "the certificate is gone")

"""The certificates of a pod: asked for in its own cluster, and brought to it when they are issued."""

import math
import time
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kube.objects import Object, ObjectKey
from kube.resources import (
    POD_CERTIFICATE_REQUESTS,
    SERVICE_ACCOUNTS,
)
from syncer.reconcilers import certificates
from tests import signer
from tests.fakes.faults import Answer, Cut
from tests.unit.syncer.both import Both
from tests.unit.syncer.certified import (
    ASKED,
    BUNDLE,
    ONE,
    Certified,
    asked_for,
    public,
)


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
    [issuing] = both.state.renewals.issuing[found.key].values()
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


async def test_a_type_of_key_that_nobody_knows_ends_nothing(both: Both) -> None:
    found = Certified(both, {"podCertificate": ASKED | {"keyType": "DSA1024"}}, ONE)
    await found.provide()
    assert len(found.requests) == 1, "the other one's"


async def test_no_key_leaves_for_the_tenant(both: Both, capsys: Any) -> None:
    """Law 8: neither by requests and Events, nor by what is logged."""
    found = Certified(both, ONE)
    both.super.script.add("PATCH", "/secrets/", Answer(422))
    await found.provide()
    [issuing] = both.state.renewals.issuing[found.key].values()
    assert issuing.asked is not None
    secret_line = issuing.asked.key.pem.splitlines()[1]
    assert secret_line not in repr(both.state.renewals.issuing)
    found.answer(found.requests[0])
    await found.look()
    await found.look()
    assert secret_line in found.data[BUNDLE]
    for call in both.tenant.script.log:
        assert secret_line.encode() not in call.body
    written = capsys.readouterr()
    assert "certificate not obtained" in written.out + written.err
    assert secret_line not in written.out + written.err

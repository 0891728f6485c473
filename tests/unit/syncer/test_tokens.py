"""The tokens of a pod: made once, renewed in time, gone with the pod."""

import asyncio
import time
from base64 import b64decode

import pytest

from kube.errors import ServerError
from kube.objects import Object, ObjectKey, encode
from kube.resources import CLUSTER_TRUST_BUNDLES, PODS, SECRETS
from syncer.entries import renewal_time
from syncer.kinds.trust_bundles import trust_secret_name
from syncer.reconcilers import tokens, trust_bundles
from tests.fakes.faults import Answer, Cut, Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.both import NAMESPACE, Both
from vcluster import api

SOURCE = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
VAULT = {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 7200}}


async def test_each_token_that_a_pod_mounts_is_asked_of_its_own_cluster(both: Both) -> None:
    pod = both.a_pod(SOURCE, VAULT)
    secret = both.super.live(SECRETS, await both.provide(pod))
    assert set(secret["data"]) == {"token-0", "token-1"}
    assert all(b64decode(value).count(b".") == 2 for value in secret["data"].values())
    asked = [call.json["spec"] for call in both.tenant.script.calls("POST", "serviceaccounts")]
    assert [one.get("audiences") for one in asked] == [None, ["vault"]]
    assert {one["boundObjectRef"]["uid"] for one in asked} == {pod["metadata"]["uid"]}


async def test_the_renewal_is_planned_by_the_token_that_ends_first(both: Both) -> None:
    key = await both.provide(both.a_pod(SOURCE, VAULT))
    assert both.state.renewals[key] - time.time() == pytest.approx(3607 * 0.8, abs=5)
    mark = both.super.live(SECRETS, key)["metadata"]["annotations"][api.EXPIRES_ANNOTATION]
    assert renewal_time(mark) == pytest.approx(both.state.renewals[key], abs=1)


async def test_a_secret_whose_creation_was_not_answered_is_renewed_like_any_other(
    both: Both,
) -> None:
    pod = both.a_pod(SOURCE)
    both.super.script.add("POST", "/secrets$", Cut(done=True))
    key = await both.provide(pod)
    assert len(both.super.objects(SECRETS, NAMESPACE)) == 1
    mark = both.super.live(SECRETS, key)["metadata"]["annotations"][api.EXPIRES_ANNOTATION]
    assert both.state.renewals[key] == renewal_time(mark)
    assert await tokens.renew(both.super_state, both.state, key), "it is known, too"


async def test_tokens_that_are_there_are_not_asked_for_again(both: Both) -> None:
    pod = both.a_pod(SOURCE)
    await both.provide(pod)
    await both.provide(pod)
    assert len(both.tenant.script.calls("POST", "serviceaccounts", "token")) == 1


async def test_a_renewal_replaces_every_token_and_its_mark(both: Both) -> None:
    key = await both.provide(both.a_pod(SOURCE, VAULT))
    old = {"data": {"token-0": "b2xk", "token-1": "b2xk"}}
    both.super.patch(SECRETS, key, old)
    due = await tokens.renew(both.super_state, both.state, key)
    assert due is not None
    assert due - time.time() > 2000
    assert "b2xk" not in both.super.live(SECRETS, key)["data"].values()


async def test_a_renewal_for_a_pod_that_has_gone_removes_the_secret(both: Both) -> None:
    pod = both.a_pod(SOURCE)
    key = await both.provide(pod)
    both.tenant.delete(PODS, ObjectKey("default", "web"), grace=0)
    both.a_pod(SOURCE)  # another one of the same name
    assert await tokens.renew(both.super_state, both.state, key) is None
    assert both.super.get(SECRETS, key) is None


async def test_a_pod_that_a_list_no_longer_has_is_looked_for_at_once(both: Both) -> None:
    """Nobody saw it being deleted: its API server had been away."""
    pod = both.a_pod(SOURCE)
    key = await both.provide(pod)
    both.state.pods.upsert(encode(pod), listed=0)
    both.state.pods.retain(set(), int(pod["metadata"]["resourceVersion"]))
    assert both.state.renewals[key] == 0.0


async def test_a_pod_that_goes_while_its_token_is_issued_leaves_none(both: Both) -> None:
    pod = both.a_pod(SOURCE)
    key, uid = ObjectKey("default", "web"), pod["metadata"]["uid"]
    both.state.pods.upsert(encode(pod), listed=0)
    tokens.plan(both.state, pod)
    slow = both.tenant.script.add("POST", "/token$", Hang())
    issuing = asyncio.create_task(tokens.provide_planned(both.super_state, both.state, key, uid))
    await eventually(lambda: slow.hits, "its token is asked for")
    both.state.pods.remove(encode(pod))
    await tokens.remove_of_pod(both.super_state, both.state, key.namespace, uid)
    both.state.forget_pod(key)
    slow.remove()
    await issuing
    assert not both.super.objects(SECRETS, NAMESPACE)


async def test_a_removal_that_fails_can_be_repeated(both: Both) -> None:
    pod = both.a_pod(SOURCE)
    key = await both.provide(pod)
    both.super.script.add("DELETE", "/secrets/", Answer(500))
    uid = pod["metadata"]["uid"]
    with pytest.raises(ServerError):
        await tokens.remove_of_pod(both.super_state, both.state, "default", uid)
    await tokens.remove_of_pod(both.super_state, both.state, "default", uid)
    assert both.super.get(SECRETS, key) is None
    assert both.state.renewals == {}


async def test_a_pod_without_tokens_has_no_secret(both: Both) -> None:
    await both.provide(both.a_pod({"secret": {"name": "s"}}))
    assert both.super.objects(SECRETS, NAMESPACE) == []
    assert both.state.renewals == {}


def a_bundle(both: Both, name: str, content: str, signer: str = "", **labels: str) -> None:
    text = f"-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n"
    metadata = {"name": name, "labels": labels}
    spec = {"trustBundle": text, "signerName": signer}
    both.tenant.create(CLUSTER_TRUST_BUNDLES, {"metadata": metadata, "spec": spec})


def trust_of(both: Both, pod: Object) -> tuple[ObjectKey, dict[str, str]]:
    """Where a pod's trust bundles are, and the certificates in them by key."""
    key = ObjectKey(NAMESPACE, trust_secret_name(pod["metadata"]["uid"]))
    data = both.super.live(SECRETS, key).get("data") or {}
    return key, {
        name: "".join(b64decode(text).decode().split()[2:-2:4]) for name, text in data.items()
    }


ROOTS = {"clusterTrustBundle": {"name": "roots", "path": "roots.pem"}}
SIGNED = {
    "clusterTrustBundle": {
        "signerName": "example.com/a",
        "labelSelector": {"matchLabels": {"alive": "true"}},
        "path": "a.pem",
    }
}
NOTHING = {"clusterTrustBundle": {"name": "nothing", "path": "nothing.pem", "optional": True}}


async def test_a_pod_gets_the_trust_bundles_of_its_own_cluster(both: Both) -> None:
    a_bundle(both, "roots", "root")
    a_bundle(both, "one", "one", "example.com/a", alive="true")
    a_bundle(both, "two", "two", "example.com/a", alive="false")
    a_bundle(both, "three", "three", "example.com/b", alive="true")
    pod = both.a_pod(ROOTS, SIGNED, NOTHING, SOURCE)
    await both.provide(pod)
    _, found = trust_of(both, pod)
    assert found == {"trust-0": "root", "trust-1": "one", "trust-2": ""}


async def test_a_bundle_that_changes_or_comes_later_is_brought_to_the_pod(both: Both) -> None:
    a_bundle(both, "roots", "before")
    pod = both.a_pod(ROOTS, SIGNED)
    await both.provide(pod)
    key, found = trust_of(both, pod)
    assert found == {"trust-0": "before"}, "the pod waits for the other"
    assert both.state.renewals[key] - time.time() < trust_bundles.MISSING_SECONDS + 1
    both.tenant.delete(CLUSTER_TRUST_BUNDLES, ObjectKey("", "roots"))
    a_bundle(both, "one", "one", "example.com/a", alive="true")
    await tokens.renew(both.super_state, both.state, key)
    assert trust_of(both, pod)[1] == {"trust-1": "one"}


async def test_trust_bundles_go_with_their_pod(both: Both) -> None:
    a_bundle(both, "roots", "root")
    pod = both.a_pod(ROOTS)
    await both.provide(pod)
    await tokens.remove_of_pod(both.super_state, both.state, "default", pod["metadata"]["uid"])
    assert both.super.objects(SECRETS, NAMESPACE) == []
    assert both.state.renewals == {}

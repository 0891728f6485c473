"""What is remembered of an object: little, and enough to see each change that matters."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.objects import Object, ObjectKey
from syncer.entries import decode_super_pod, decode_tenant_pod, entry_decoder
from syncer.kinds.pod import mutable_digest, to_super
from tests.unit.kinds.builders import ACME, TENANT_UID
from tests.unit.kinds.pod_builders import OFFERS, a_container, a_pod, live_mirror
from vcluster import api

encode = msgspec.json.encode


def mutable(pod: Object) -> int:
    return decode_tenant_pod(encode(pod))[1].mutable


def test_a_tenants_pod() -> None:
    pod = a_pod(nodeName="node-1", readinessGates=[{"conditionType": "a/b"}])
    pod["metadata"] |= {"generation": 3, "deletionGracePeriodSeconds": 9}
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "DisruptionTarget", "status": "True"},
    ]
    key, entry = decode_tenant_pod(encode(pod))
    assert key == ObjectKey("web", "shop")
    assert (entry.uid, entry.version, entry.generation) == (TENANT_UID, 7, 3)
    assert (entry.node, entry.qos, entry.deleting, entry.grace) == ("node-1", "BestEffort", True, 9)
    assert (entry.scheduled, entry.gated, entry.disrupted, entry.finished) == (
        True,
        True,
        True,
        False,
    )


def test_a_tenants_pod_of_which_little_is_said() -> None:
    """Without a status, as an admission webhook or a proxy may leave it."""
    pod = a_pod()
    del pod["status"]
    entry = decode_tenant_pod(encode(pod))[1]
    flags = entry.scheduled, entry.gated, entry.disrupted, entry.finished, entry.deleting
    assert not any(flags)
    assert (entry.node, entry.qos, entry.grace) == ("", "", None)


def test_not_scheduled_is_not_scheduled() -> None:
    pod = a_pod()
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False"}]
    assert not decode_tenant_pod(encode(pod))[1].scheduled


@pytest.mark.parametrize(("phase", "finished"), [("Succeeded", 1), ("Failed", 1), ("Running", 0)])
def test_a_pod_has_ended_or_not(phase: str, finished: int) -> None:
    pod = a_pod()
    pod["status"]["phase"] = phase
    assert decode_tenant_pod(encode(pod))[1].finished is bool(finished)


def test_a_super_pod() -> None:
    mirror = live_mirror(a_pod()) | {"status": {"phase": "Running"}}
    mirror["spec"]["nodeName"] = "node-1"
    key, entry = decode_super_pod(encode(mirror))
    assert key == ObjectKey("acme-1f3a9c2e-web", "shop")
    assert (entry.tenant, entry.source, entry.source_uid) == (
        ACME.key,
        ObjectKey("web", "shop"),
        TENANT_UID,
    )
    assert entry.digest == mutable_digest(a_pod(), ACME)
    assert entry.node == "node-1"
    changed = decode_super_pod(encode(mirror | {"status": {"phase": "Failed"}}))[1]
    assert changed.status != entry.status


@pytest.mark.parametrize("decode", [decode_super_pod, entry_decoder(keep_bytes=False)])
def test_law_1_an_object_without_the_uid_mark_belongs_to_no_tenant(decode: Any) -> None:
    """Whatever its labels say."""
    mirror = live_mirror(a_pod())
    del mirror["metadata"]["annotations"][api.UID_ANNOTATION]
    assert decode(encode(mirror))[1].tenant == ""


def test_small_kinds_keep_their_bytes_and_masses_do_not() -> None:
    raw = encode(a_pod())
    assert entry_decoder(keep_bytes=True)(raw)[1].raw == raw
    assert entry_decoder(keep_bytes=False)(raw)[1].raw == b""


def test_an_entry_of_a_mirror() -> None:
    key, entry = entry_decoder(keep_bytes=False)(encode(live_mirror(a_pod())))
    assert key == ObjectKey("acme-1f3a9c2e-web", "shop")
    assert (entry.source, entry.source_uid, entry.tenant) == (
        ObjectKey("web", "shop"),
        TENANT_UID,
        ACME.key,
    )
    assert entry.digest == mutable_digest(a_pod(), ACME)


# A change that is not seen here is never brought down.

changes = st.fixed_dictionaries(
    {},
    optional={
        "tolerations": st.lists(st.builds(lambda key: {"key": key}, st.sampled_from("ab"))),
        "activeDeadlineSeconds": st.integers(1, 3),
        "schedulingGates": st.lists(st.builds(lambda name: {"name": name}, st.sampled_from("ab"))),
        "nodeSelector": st.dictionaries(st.sampled_from("ab"), st.sampled_from("ab")),
        "resources": st.builds(lambda cpu: {"limits": {"cpu": cpu}}, st.sampled_from("12")),
        "affinity": st.builds(lambda n: {"nodeAffinity": {"x": n}}, st.integers(1, 2)),
        "ephemeralContainers": st.lists(
            st.sampled_from(["one", "two"]).map(a_container), max_size=2
        ),
        "containers": st.lists(
            st.builds(
                lambda image, cpu: a_container(image=image, resources={"limits": {"cpu": cpu}}),
                st.sampled_from("ab"),
                st.sampled_from("12"),
            ),
            min_size=1,
            max_size=2,
        ),
    },
)
labels = st.dictionaries(
    st.sampled_from(["app", "topology.kubernetes.io/zone"]), st.sampled_from("ab")
)


@settings(max_examples=200)
@given(one=changes, other=changes, one_labels=labels, other_labels=labels)
def test_whatever_changes_the_mirror_changes_the_entry(
    one: Object, other: Object, one_labels: dict[str, str], other_labels: dict[str, str]
) -> None:
    first, second = a_pod(labels=one_labels, **one), a_pod(labels=other_labels, **other)
    if mutable_digest(first, ACME) != mutable_digest(second, ACME):
        assert mutable(first) != mutable(second)


def test_annotations_are_among_what_can_change() -> None:
    pod = a_pod()
    pod["metadata"]["annotations"] = {"a": "b"}
    assert mutable(pod) != mutable(a_pod())


def test_our_own_binding_and_status_are_no_change() -> None:
    """Else each pod would be read again after each of them."""
    pod = a_pod(labels={"app": "shop"})
    bound = copy.deepcopy(pod)
    bound["spec"]["nodeName"] = "node-1"
    bound["metadata"]["labels"]["topology.kubernetes.io/zone"] = "a"
    bound["metadata"] |= {"resourceVersion": "99", "managedFields": [{"manager": "syncer"}]}
    bound["status"] = {"phase": "Running", "podIP": "10.244.0.7"}
    assert mutable(bound) == mutable(pod)


def test_no_change_at_all_is_never_taken_for_nothing_known() -> None:
    assert mutable(a_pod()) != 0


def test_an_entry_of_a_pod_is_small() -> None:
    """Without the bytes of the pod, however large it is."""
    big = a_pod(containers=[a_container(env=[{"name": "A", "value": "x" * 10_000}])])
    for decode, pod in (
        (decode_tenant_pod, big),
        (decode_super_pod, to_super_as_stored(big)),
    ):
        entry = decode(encode(pod))[1]
        assert not [value for value in msgspec.structs.astuple(entry) if isinstance(value, bytes)]
        assert len(str(msgspec.structs.astuple(entry))) < 1000


def to_super_as_stored(pod: Object) -> Object:
    made = to_super(pod, ACME, OFFERS)
    return made | {"metadata": made["metadata"] | {"uid": "u", "resourceVersion": "1"}}

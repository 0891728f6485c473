"""Events, upward."""

import copy
import json
from typing import Any

import pytest

from kube.objects import Object
from syncer.kinds import event
from syncer.kinds.pod_certificates import certificate_secret_name
from syncer.kinds.pod_volumes import token_secret_name
from syncer.kinds.trust_bundles import trust_secret_name
from tests.unit.kinds.builders import ACME, SUPER_UID, TENANT_UID, metadata
from vcluster import api, hosts_file

BELOW = "acme-1f3a9c2e-web"
OTHER = "globex-deadbeef-secret-project"
NO_TOKEN = (
    'MountVolume.SetUp failed for volume "kube-api-access-xlpv6" : '
    f'secret "{token_secret_name(TENANT_UID)}" not found'
)


def an_event(message: str = "Pulled image", **fields: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata("shop-0.17c", namespace=BELOW, uid="of-the-event"),
        "involvedObject": {
            "apiVersion": "v1",
            "fieldPath": "spec.containers{shop}",
            "kind": "Pod",
            "name": "shop-0",
            "namespace": BELOW,
            "resourceVersion": "123",
            "uid": SUPER_UID,
        },
        "count": 3,
        "eventTime": None,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:01:00Z",
        "message": message,
        "reason": "Pulled",
        "series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"},
        "source": {"component": "kubelet", "host": "node-1"},
        "type": "Normal",
        **fields,
    }


def shown(source: Object) -> Object:
    return event.to_tenant(source, "web", TENANT_UID, ACME.key)


def test_it_is_about_the_tenants_object() -> None:
    assert shown(an_event())["involvedObject"] == {
        "apiVersion": "v1",
        "fieldPath": "spec.containers{shop}",
        "kind": "Pod",
        "name": "shop-0",
        "namespace": "web",
        "uid": TENANT_UID,
    }


def test_its_metadata_is_new_and_marked() -> None:
    assert shown(an_event())["metadata"] == {
        "name": "shop-0.17c",
        "namespace": "web",
        "labels": {},
        "annotations": {api.UID_ANNOTATION: "of-the-event"},
    }


def test_counts_times_and_unknown_fields_stay() -> None:
    source = an_event(novel={"x": [1]})
    translated = shown(source)
    for field in ("count", "eventTime", "firstTimestamp", "lastTimestamp", "message", "novel"):
        assert translated[field] == source[field]
    for field in ("reason", "series", "source", "type"):
        assert translated[field] == source[field]


@pytest.mark.parametrize(
    ("below", "above"),
    [
        (f'secrets "x" not found in {BELOW}', 'secrets "x" not found in web'),
        (f"pod shop-0_{BELOW}({SUPER_UID})", f"pod shop-0_web({TENANT_UID})"),
        ("see acme-1f3a9c2e-database/db", "see database/db"),
        (f'configmap "{api.MIRRORED_ROOT_CA_CONFIG_MAP}"', 'configmap "kube-root-ca.crt"'),
    ],
)
def test_a_message_speaks_of_the_tenants_names(below: str, above: str) -> None:
    assert shown(an_event(below))["message"] == above


def test_no_text_anywhere_names_a_super_namespace() -> None:
    source = an_event(BELOW, action=BELOW, reason=BELOW, novel=[{"deep": f"in {BELOW}"}])
    source["metadata"]["annotations"] = {"where": BELOW}
    assert BELOW not in json.dumps(shown(source))


def test_an_objects_name_is_never_rewritten() -> None:
    source = an_event()
    source["involvedObject"]["name"] = "acme-1f3a9c2e-web"
    assert shown(source)["involvedObject"]["name"] == "acme-1f3a9c2e-web"


def test_the_root_ca_config_map_has_its_own_name_again() -> None:
    source = an_event()
    source["involvedObject"] |= {"kind": "ConfigMap", "name": api.MIRRORED_ROOT_CA_CONFIG_MAP}
    assert shown(source)["involvedObject"]["name"] == "kube-root-ca.crt"


def test_a_related_object_of_the_tenant_is_translated() -> None:
    related = {"kind": "Pod", "name": "db-0", "namespace": BELOW, "uid": "x"}
    assert shown(an_event(related=related))["related"] == {
        "kind": "Pod",
        "name": "db-0",
        "namespace": "web",
    }


@pytest.mark.parametrize(
    "related",
    [
        {"kind": "Pod", "name": "train-0", "namespace": OTHER, "uid": "x"},
        {"kind": "PersistentVolume", "name": "pvc-of-globex"},
    ],
)
def test_another_tenants_object_is_not_shown(related: Object) -> None:
    assert "related" not in shown(an_event(related=related))


def test_what_the_scheduler_says_of_our_priority_class_is_left_out() -> None:
    why = "0/1 nodes are available: 1 Insufficient cpu."
    source = an_event(f"{why} preemption: not eligible due to preemptionPolicy=Never.")
    assert shown(source)["message"] == why


def test_a_runtime_that_is_not_offered_has_the_tenants_name_of_it() -> None:
    source = an_event('no runtime for "virtualcluster-not-offered" is configured')
    found = event.to_tenant(source, "web", TENANT_UID, ACME.key, "kata")
    assert found["message"] == 'no runtime for "kata" is configured'
    assert found["involvedObject"]["name"] == "shop-0"


@pytest.mark.parametrize(
    ("path", "kind", "concerns"),
    [
        (hosts_file.FIELD_PATH, "Normal", False),
        (hosts_file.FIELD_PATH, "Warning", True),
        ("spec.initContainers{first}", "Normal", True),
        ("", "Normal", True),
    ],
)
def test_what_is_usual_of_our_init_container_stays_below(
    path: str, kind: str, concerns: bool
) -> None:
    source = an_event(type=kind)
    source["involvedObject"]["fieldPath"] = path
    assert event.concerns_tenants(source) is concerns


def test_what_fails_in_it_is_said_in_other_words() -> None:
    source = an_event('Failed to pull image "ours"', type="Warning", reason="Failed")
    source["involvedObject"]["fieldPath"] = hosts_file.FIELD_PATH
    found = shown(source)
    assert found["message"] == event.HOSTS_NOT_WRITTEN
    assert found["reason"] == "Failed"
    assert "fieldPath" not in found["involvedObject"]


def test_messages_do_not_name_its_volume() -> None:
    source = an_event(f"unmounted volumes=[data], unattached volumes=[data {hosts_file.NAME}]")
    assert shown(source)["message"] == "unmounted volumes=[data], unattached volumes=[data]"


@pytest.mark.parametrize(
    ("counted", "concerns"),
    [
        ({"count": 1}, False),
        ({"count": 2}, False),
        ({"count": 3}, True),
        ({"count": 0, "series": {"count": 2}}, False),
        ({"count": 0, "series": {"count": 3}}, True),
    ],
)
def test_a_token_that_a_kubelet_is_too_quick_for_is_not_told(
    counted: Object, concerns: bool
) -> None:
    source = an_event(NO_TOKEN, type="Warning", reason="FailedMount", **counted)
    assert event.concerns_tenants(source) is concerns
    source["message"] = NO_TOKEN.replace("virtualcluster-token-", "mine-")
    assert event.concerns_tenants(source)


def test_trust_bundles_that_are_late_are_told_without_the_name_of_their_secret() -> None:
    missing = f'[secret "{trust_secret_name(TENANT_UID)}" not found, something else]'
    found = shown(an_event(f'MountVolume.SetUp failed for volume "tls" : {missing}'))
    assert found["message"] == (
        'MountVolume.SetUp failed for volume "tls" : '
        "[the trust bundles of the pod are not there yet, something else]"
    )


@pytest.mark.parametrize(
    "missing",
    [
        f'secret "{certificate_secret_name(TENANT_UID)}" not found',
        "references non-existent secret key: podCertificate.tls-config.1.bundle",
    ],
)
def test_a_certificate_that_is_not_there_yet_is_told_in_the_kubelets_words(missing: str) -> None:
    source = an_event(f'MountVolume.SetUp failed for volume "tls-config" : {missing}')
    assert shown(source)["message"] == (
        'MountVolume.SetUp failed for volume "tls-config" : credential bundle is not issued yet'
    )


def test_a_missing_token_is_told_without_the_name_of_its_secret() -> None:
    found = shown(an_event(NO_TOKEN, type="Warning", reason="FailedMount", count=3))
    assert found["message"] == (
        'MountVolume.SetUp failed for volume "kube-api-access-xlpv6" : '
        "the token of the pod's service account is not there yet"
    )


def test_a_node_is_shown() -> None:
    related = {"kind": "Node", "name": "node-1", "uid": "node-1"}
    assert shown(an_event(related=related))["related"] == {"kind": "Node", "name": "node-1"}


@pytest.mark.parametrize(
    "who", ["pod 44444444-4444-4444-4444-444444444444", f"{OTHER}/train-0", "a\nb"]
)
def test_a_preempted_tenant_does_not_learn_by_whom(who: str) -> None:
    source = an_event(f"Preempted by {who} on node node-1", reason="Preempted")
    message = shown(source)["message"]
    assert message == "Preempted by a pod of higher priority on node node-1"


def test_an_unknown_wording_of_a_preemption_is_hidden_too() -> None:
    source = an_event(f"{OTHER}/train-0 took the place", reason="Preempted")
    assert OTHER not in json.dumps(shown(source))


def test_an_event_about_an_object_that_the_tenant_no_longer_has_carries_no_uid() -> None:
    translated = event.to_tenant(an_event(f"pod {SUPER_UID}"), "web", "", ACME.key)
    assert "uid" not in translated["involvedObject"]
    assert SUPER_UID not in json.dumps(translated)


def test_a_repeated_event_counts_up() -> None:
    live = shown(an_event())
    live["metadata"] |= {"uid": "u", "resourceVersion": "5", "managedFields": []}
    wanted = shown(an_event(count=4, lastTimestamp="2026-01-01T00:02:00Z"))
    assert event.patch(live, wanted) == {"count": 4, "lastTimestamp": "2026-01-01T00:02:00Z"}
    assert event.patch(live, shown(an_event())) is None


def test_the_input_is_left_alone() -> None:
    source = an_event(BELOW, related={"kind": "Pod", "name": "a", "namespace": BELOW})
    before = copy.deepcopy(source)
    shown(source)
    assert source == before

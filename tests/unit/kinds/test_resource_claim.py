"""ResourceClaims, downward, and what was allocated, upward."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.mirror import Refused, Write
from syncer.kinds.offers import Offers
from syncer.kinds.resource_claim import (
    PROTECTION,
    RESOURCE_CLAIM,
    admitted,
    consumers,
    to_super,
    to_tenant,
)
from tests.unit.kinds.builders import ACME, SUPER_UID, TENANT_UID, live, merged, metadata
from vcluster.sync import Sync

OFFERS = Offers(device_classes=frozenset({"gpu", "nic"}))
TENANT = msgspec.structs.replace(ACME, sync=Sync(resource_claims=True))
NO_POLICY = msgspec.structs.replace(ACME.policy, denied_taints=())
OTHERS = "example.com/of-an-operator"
OWN_POD = {"resource": "pods", "name": "train-0", "uid": TENANT_UID}
SUPER_POD = OWN_POD | {"uid": SUPER_UID}
DEVICE = {"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}
ALLOCATION = {"devices": {"results": [DEVICE]}}


def a_claim(*requests: Object, status: Object | None = None, **devices: Any) -> Object:
    """A claim that is protected, if it is allocated."""
    asked = requests or (exactly(),)
    protected = [PROTECTION] if status and "allocation" in status else []
    return {
        "metadata": metadata("gpu", finalizers=[OTHERS, *protected]),
        "spec": {"devices": {"requests": list(asked), **devices}},
        "status": status or {},
    }


def exactly(device_class: str = "gpu", **fields: Any) -> Object:
    wanted = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": 1}
    return {"name": "gpu", "exactly": wanted | fields}


def first_of(*alternatives: Object) -> Object:
    named = [one | {"name": f"way-{number}"} for number, one in enumerate(alternatives)]
    return {"name": "gpu", "firstAvailable": named}


class Pods:
    """Pods of the tenant by name: the UIDs of the super pod and of the tenant's; and the bound ones."""

    def __init__(self, *bound: str, **mirrored: tuple[str, str]) -> None:
        self._bound = bound
        self._mirrored = mirrored

    def shown(self, name: str, uid: str) -> str:
        super_uid, own_uid = self._mirrored.get(name.replace("-", "_"), ("", ""))
        return own_uid if super_uid == uid else ""

    def stays(self, name: str, uid: str) -> bool:
        return self.is_bound(name, uid) or uid in [own for _, own in self._mirrored.values()]

    def is_bound(self, name: str, uid: str) -> bool:
        return uid in self._bound


TRAINING = Pods(train_0=(SUPER_UID, TENANT_UID))


def shown_status(mirror: Object, claim: Object, pods: Pods = TRAINING) -> Object:
    """The status of the tenant's claim after all writes."""
    for write in to_tenant(consumers(mirror, claim, pods), claim, TENANT):
        claim = merged(claim, write.patch)
    found: Object = claim["status"]
    return found


def test_what_is_asked_for_goes_down_as_it_is() -> None:
    constraints = [{"matchAttribute": "example.com/numa", "requests": ["gpu"]}]
    selectors = [{"cel": {"expression": "device.driver == 'gpu.example.com'"}}]
    claim = a_claim(exactly(selectors=selectors), constraints=constraints)
    assert to_super(admitted(claim, OFFERS), TENANT)["spec"] == claim["spec"]


def test_only_tenants_with_the_option_have_them() -> None:
    assert not RESOURCE_CLAIM.enabled(ACME)
    assert RESOURCE_CLAIM.enabled(TENANT)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (exactly("fpga"), r"requests\[0\]\.exactly\.deviceClassName"),
        (exactly(""), r"requests\[0\]\.exactly\.deviceClassName"),
        (
            first_of({"deviceClassName": "gpu"}, {"deviceClassName": "fpga"}),
            r"requests\[0\]\.firstAvailable\[1\]\.deviceClassName",
        ),
    ],
)
def test_a_class_that_is_not_offered_is_refused(request_: Object, field: str) -> None:
    with pytest.raises(Refused, match=field + ".*offered: gpu, nic") as caught:
        admitted(a_claim(request_), OFFERS)
    assert caught.value.reason == "NotOffered"


def test_admin_access_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(Refused, match=r"exactly\.adminAccess") as caught:
        to_super(a_claim(exactly(adminAccess=True)), TENANT)
    assert caught.value.reason == "NotAllowed"


def test_a_request_of_another_kind_is_refused_and_not_guessed_at() -> None:
    with pytest.raises(Refused, match="not known here"):
        to_super(a_claim({"name": "gpu", "someOf": {"deviceClassName": "gpu"}}), TENANT)


@pytest.mark.parametrize(
    "key", ["gpu.deviceclass.resource.k8s.io/devices", "requests.nvidia.com/gpu"]
)
@pytest.mark.parametrize(
    "request_",
    [
        exactly(allocationMode="All"),
        first_of({"deviceClassName": "gpu"}, {"deviceClassName": "gpu", "allocationMode": "All"}),
    ],
)
def test_all_devices_are_refused_where_a_quota_counts_them(key: str, request_: Object) -> None:
    limited = msgspec.structs.replace(TENANT, quota={key: "4"})
    with pytest.raises(Refused, match="use ExactCount") as caught:
        to_super(a_claim(request_), limited)
    assert caught.value.reason == "QuotaExceeded"
    to_super(a_claim(request_), msgspec.structs.replace(TENANT, quota={"pods": "4"}))


def test_taints_of_devices_are_tolerated_as_the_policy_says() -> None:
    policy = msgspec.structs.replace(ACME.policy, denied_taints=("example.com/reserved",))
    tenant = msgspec.structs.replace(TENANT, policy=policy)
    for key in ("example.com/reserved", ""):
        with pytest.raises(Refused) as caught:
            to_super(a_claim(exactly(tolerations=[{"key": key, "operator": "Exists"}])), tenant)
        assert caught.value.reason == "TolerationDenied"
    to_super(a_claim(exactly(tolerations=[{"key": "example.com/old"}])), tenant)


def test_parameters_go_only_to_drivers_that_the_class_lists() -> None:
    config = [
        {"requests": ["gpu"], "opaque": {"driver": "gpu.example.com", "parameters": {"a": 1}}}
    ]
    with pytest.raises(Refused, match=r"config\[0\].*'gpu\.example\.com'.*allowed: none") as caught:
        to_super(a_claim(config=config), TENANT)
    assert caught.value.reason == "NotAllowed"
    allowed = Sync(resource_claims=True, opaque_configuration_drivers=("gpu.example.com",))
    tenant = msgspec.structs.replace(TENANT, sync=allowed)
    assert to_super(a_claim(config=config), tenant)["spec"]["devices"]["config"] == config
    with pytest.raises(Refused, match="script"):
        to_super(a_claim(config=[config[0] | {"script": "rm"}]), tenant)


def test_what_was_allocated_goes_up_for_the_tenants_own_pods() -> None:
    conditions = [{"type": "Ready", "message": "in acme-1f3a9c2e-web"}]
    devices = [{"driver": DEVICE["driver"], "conditions": conditions}]
    given = {"allocation": ALLOCATION, "reservedFor": [SUPER_POD], "devices": devices, "new": 1}
    shown = shown_status(live(to_super(a_claim(), TENANT), status=given), a_claim())
    assert shown["allocation"] == ALLOCATION
    assert shown["reservedFor"] == [OWN_POD]
    assert shown["devices"][0]["conditions"][0]["message"] == "in web"
    assert shown["new"] == 1


def test_nothing_is_written_when_it_is_shown_already() -> None:
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD]})
    mirror = live(
        to_super(claim, TENANT), status={"allocation": ALLOCATION, "reservedFor": [SUPER_POD]}
    )
    assert not to_tenant(consumers(mirror, claim, TRAINING), claim, TENANT)


@pytest.mark.parametrize(
    "consumer",
    [
        SUPER_POD | {"uid": "of-another-pod"},
        SUPER_POD | {"name": "other"},
        SUPER_POD | {"apiGroup": "scheduling.k8s.io", "resource": "podgroups"},
    ],
)
def test_who_is_no_living_pod_of_the_tenants_is_not_shown(consumer: Object) -> None:
    given = {"allocation": ALLOCATION, "reservedFor": [consumer]}
    assert shown_status(live(to_super(a_claim(), TENANT), status=given), a_claim()) == {}
    both = {"allocation": ALLOCATION, "reservedFor": [consumer, SUPER_POD]}
    shown = shown_status(live(to_super(a_claim(), TENANT), status=both), a_claim())
    assert shown == {"allocation": ALLOCATION, "reservedFor": [OWN_POD]}


def test_what_the_tenant_makes_up_is_taken_back() -> None:
    foreign = {"resource": "pods", "name": "theirs", "uid": "of-another-tenant"}
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD, foreign]})
    assert shown_status(live(to_super(claim, TENANT), status={}), claim) == {}
    group = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": "g"}
    forged = a_claim(status={"allocation": ALLOCATION, "reservedFor": [group]})
    assert shown_status(live(to_super(claim, TENANT), status={}), forged) == {}
    given = {"allocation": ALLOCATION, "reservedFor": [SUPER_POD]}
    shown = shown_status(live(to_super(claim, TENANT), status=given), claim)
    assert shown["reservedFor"] == [OWN_POD]


def test_a_pod_for_which_the_tenants_controller_reserved_it_stays() -> None:
    """It does so for a pod that is bound, be it before the scheduler below, and would do it again."""
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD]})
    mirror = live(to_super(claim, TENANT), status={"allocation": ALLOCATION})
    assert shown_status(mirror, claim, Pods(TENANT_UID))["reservedFor"] == [OWN_POD]
    released = live(to_super(claim, TENANT), status={})
    assert shown_status(released, claim, Pods(TENANT_UID)) == {}


def test_a_claim_whose_pods_have_all_ended_is_the_tenants_controllers_to_free() -> None:
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD]})
    for given in ({}, {"allocation": ALLOCATION, "reservedFor": [SUPER_POD]}):
        mirror = live(to_super(claim, TENANT), status=given)
        assert not to_tenant(consumers(mirror, claim, Pods()), claim, TENANT)
    freed = a_claim(status={"allocation": ALLOCATION})
    mirror = live(to_super(freed, TENANT), status={"allocation": ALLOCATION})
    assert shown_status(mirror, freed, Pods()) == {}, "nobody else would"
    free = freed | {"status": {}}  # it takes off the protection next
    assert not to_tenant(consumers(mirror, free, Pods()), free, TENANT)


def test_a_claim_is_protected_first_and_let_go_with_its_last_pod() -> None:
    given = {"allocation": ALLOCATION, "reservedFor": [SUPER_POD]}
    mirror = live(to_super(a_claim(), TENANT), status=given)
    first, _ = to_tenant(consumers(mirror, a_claim(), TRAINING), a_claim(), TENANT)
    protected = {"finalizers": [OTHERS, PROTECTION], "resourceVersion": "7"}
    assert first == Write("", {"metadata": protected})
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD]})
    mirror = live(to_super(claim, TENANT), status={})
    first, _ = to_tenant(consumers(mirror, claim, TRAINING), claim, TENANT)
    assert first == Write("", {"metadata": {"finalizers": [OTHERS], "resourceVersion": "7"}})
    assert PROTECTION not in to_super(claim, TENANT)["metadata"].get("finalizers", ())


@pytest.mark.parametrize(
    ("finalizers", "given"),
    [([], {"allocation": ALLOCATION, "reservedFor": [SUPER_POD]}), ([PROTECTION], {})],
)
def test_the_protection_of_a_claim_that_is_being_deleted_is_left_alone(
    finalizers: list[str], given: Object
) -> None:
    """An API server takes no new finalizers then, and the tenant's controller lets it go."""
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD]})
    claim["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": finalizers,
    }
    mirror = live(to_super(claim, TENANT), status=given)
    writes = to_tenant(consumers(mirror, claim, TRAINING), claim, TENANT)
    assert all(write.subresource == "status" for write in writes)


def test_a_claim_that_is_being_deleted_gets_no_new_pods() -> None:
    claim = a_claim()
    claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    given = {"allocation": ALLOCATION, "reservedFor": [SUPER_POD]}
    shown = shown_status(live(to_super(claim, TENANT), status=given), claim)
    assert "reservedFor" not in shown


def test_another_allocation_comes_after_the_first_is_taken_back() -> None:
    """An API server lets it never change in place."""
    other = {"devices": {"results": [DEVICE | {"device": "gpu-1"}]}}
    before = {"allocation": ALLOCATION, "reservedFor": [OWN_POD]}
    claim = a_claim(status=before)
    given = {"allocation": other, "reservedFor": [SUPER_POD]}
    mirror = live(to_super(claim, TENANT), status=given)
    first, second = to_tenant(consumers(mirror, claim, TRAINING), claim, TENANT)
    assert first == Write(
        "status", {"status": {"allocation": None, "devices": None, "reservedFor": None}}
    )
    assert second.patch["status"] == given | {"reservedFor": [OWN_POD]}


def test_the_same_devices_are_the_same_allocation_whatever_a_server_leaves_out() -> None:
    claim = a_claim(status={"allocation": ALLOCATION, "reservedFor": [OWN_POD]})
    dated = ALLOCATION | {"allocationTimestamp": "2026-01-01T00:00:00.123456Z"}
    given = {"allocation": dated, "reservedFor": [SUPER_POD]}
    mirror = live(to_super(claim, TENANT), status=given)
    assert not to_tenant(consumers(mirror, claim, TRAINING), claim, TENANT)


def test_parameters_of_the_providers_class_are_not_shown() -> None:
    own = {"source": "FromClaim", "opaque": {"driver": "d", "parameters": {}}}
    hidden = {"source": "FromClass", "opaque": {"driver": "d", "parameters": {"key": "secret"}}}
    for config, left in (([hidden, own], {"config": [own]}), ([hidden], {})):
        allocation = {"devices": {"results": [DEVICE], "config": config}}
        given = {"allocation": allocation, "reservedFor": [SUPER_POD]}
        mirror = live(to_super(a_claim(), TENANT), status=given)
        shown = shown_status(mirror, a_claim())["allocation"]["devices"]
        assert shown == {"results": [DEVICE], **left}

"""Which runtime a pod gets, whatever its class is called in the tenant: never one that is not offered."""

import msgspec
import pytest

from syncer.kinds.mirror import Refused
from syncer.kinds.offers import Offers
from syncer.kinds.pod import to_super
from syncer.kinds.pod_policy import admitted
from syncer.kinds.pod_update import patches
from syncer.kinds.runtime_class import not_offered
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import a_pod, live_mirror
from vcluster import api

OFFERED = {"gvisor": "runsc", "nvidia": "nvidia", "a-sandbox": "runsc"}
NONE = api.NOT_OFFERED_RUNTIME_CLASS
OFFERS = Offers(runtime_classes=OFFERED, not_offered_runtime_class=NONE)
NO_CLASS_OF_OURS = Offers(runtime_classes=OFFERED)


@pytest.mark.parametrize(
    ("name", "handler", "below"),
    [
        ("gvisor", "runsc", "gvisor"),
        ("mine", "runsc", "a-sandbox"),
        ("mine", "nvidia", "nvidia"),
        ("gvisor", "nvidia", "nvidia"),
        ("mine", "kata", NONE),
        ("gvisor", "kata", NONE),
        ("kata", "kata", NONE),
        ("mine", "runc", NONE),
        ("mine", "", NONE),
        (NONE, "runc", NONE),
        ("gvisor", None, "gvisor"),
    ],
    ids=repr,
)
def test_the_handler_of_the_tenants_class_decides(
    name: str, handler: str | None, below: str
) -> None:
    pod = a_pod(runtimeClassName=name, overhead={"cpu": "1"})
    made = to_super(pod, ACME, OFFERS, handler)
    assert made["spec"]["runtimeClassName"] == below
    assert "overhead" not in made["spec"], "the super cluster's admission computes it"
    mark = made["metadata"]["annotations"].get(api.HANDLER_ANNOTATION)
    assert mark == (handler or None if below == NONE else None)


@pytest.mark.parametrize(("name", "handler"), [("mine", "kata"), ("kata", "kata"), ("kata", None)])
def test_without_our_class_what_is_not_offered_is_refused(name: str, handler: str | None) -> None:
    with pytest.raises(Refused, match=rf"spec\.runtimeClassName: .*'{name}'.*gvisor") as refused:
        to_super(a_pod(runtimeClassName=name), ACME, NO_CLASS_OF_OURS, handler)
    assert refused.value.reason == "NotOffered"


def test_a_class_that_is_gone_is_refused_though_there_is_ours() -> None:
    with pytest.raises(Refused, match="'kata' is not offered here"):
        to_super(a_pod(runtimeClassName="kata"), ACME, OFFERS, None)


def test_a_pod_without_a_class_gets_none() -> None:
    assert "runtimeClassName" not in to_super(a_pod(), ACME, OFFERS)["spec"]


@pytest.mark.parametrize("handler", ["runsc", "kata"])
def test_where_the_provider_forces_a_class_one_of_the_tenants_own_is_refused(handler: str) -> None:
    forced = msgspec.structs.replace(ACME, runtime_class="secret-sandbox")
    with pytest.raises(Refused, match=r"'mine' is not allowed: .*'secret-sandbox'"):
        admitted(to_super(a_pod(runtimeClassName="mine"), forced, OFFERS, handler), forced)
    own = to_super(a_pod(runtimeClassName="secret-sandbox"), forced, OFFERS, handler)
    assert admitted(own, forced)["spec"]["runtimeClassName"] == "secret-sandbox"


def test_what_the_tenant_is_told_names_class_handler_and_offers() -> None:
    said = not_offered("mine", "kata", OFFERS)
    assert said == (
        "the handler 'kata' of 'mine' is not offered here; "
        "offered, by class (handler): a-sandbox (runsc), gvisor (runsc), nvidia (nvidia)"
    )
    assert not_offered("mine", "kata", Offers()).endswith("(handler): none")


def test_changes_leave_the_runtime_alone_whatever_is_offered_by_then() -> None:
    pod = a_pod(runtimeClassName="gvisor", overhead={"cpu": "1"})
    live = live_mirror(pod)
    live["metadata"]["annotations"][api.HANDLER_ANNOTATION] = "kata"
    changed = pod | {"metadata": pod["metadata"] | {"labels": {"a": "b"}}}
    (patch,) = patches(live, changed, ACME, Offers())
    assert patch.body["metadata"]["labels"] == {"a": "b"}
    assert "spec" not in patch.body
    assert api.HANDLER_ANNOTATION not in patch.body["metadata"].get("annotations", {})

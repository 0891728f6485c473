"""The claims of pods, and resources whose names stand for device classes."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.mirror import Refused
from syncer.kinds.offers import Offers
from syncer.kinds.pod import to_super
from syncer.kinds.pod_claims import claim_names, waits_for_claims
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import a_pod
from vcluster.sync import Sync

TENANT = msgspec.structs.replace(ACME, sync=Sync(resource_claims=True))
OFFERS = Offers(device_classes=frozenset({"gpu"}))
FROM_TEMPLATE = {"name": "gpu", "resourceClaimTemplateName": "one-gpu"}
DIRECT = {"name": "shared", "resourceClaimName": "pool", "novel": 1}
MADE = [{"name": "gpu", "resourceClaimName": "train-gpu-x7k2p"}]


def a_claiming_pod(*claims: Object, made: Any = None) -> Object:
    status = {"resourceClaimStatuses": made} if made else {}
    return a_pod(resourceClaims=list(claims)) | {"status": status}


def test_both_kinds_of_reference_name_the_claim_below() -> None:
    pod = a_claiming_pod(FROM_TEMPLATE, DIRECT, made=MADE)
    assert to_super(pod, TENANT, OFFERS)["spec"]["resourceClaims"] == [
        {"name": "gpu", "resourceClaimName": "train-gpu-x7k2p"},
        DIRECT,
    ]


def test_which_containers_get_which_devices_stays() -> None:
    claims = [{"name": "gpu", "request": "big"}]
    container = {"name": "main", "image": "x", "resources": {"claims": claims}}
    pod = a_claiming_pod(FROM_TEMPLATE, made=MADE)
    pod["spec"]["containers"] = [container]
    assert to_super(pod, TENANT, OFFERS)["spec"]["containers"][0]["resources"]["claims"] == claims


def test_a_pod_waits_until_the_claims_of_its_templates_are_made() -> None:
    assert waits_for_claims(a_claiming_pod(FROM_TEMPLATE, DIRECT), TENANT)
    assert not waits_for_claims(a_claiming_pod(FROM_TEMPLATE, DIRECT, made=MADE), TENANT)
    assert not waits_for_claims(a_claiming_pod(DIRECT), TENANT)
    assert not waits_for_claims(a_pod(), TENANT)
    assert claim_names(a_claiming_pod(FROM_TEMPLATE)) == {"gpu": ""}


def test_without_the_option_it_is_refused_and_never_waits() -> None:
    pod = a_claiming_pod(FROM_TEMPLATE)
    assert not waits_for_claims(pod, ACME)
    with pytest.raises(
        Refused, match=r"'gpu': .*sync\.resourceClaims.*resources\.limits"
    ) as caught:
        to_super(pod, ACME, OFFERS)
    assert caught.value.reason == "NotServed"


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_a_resource_that_stands_for_a_class_needs_the_class_and_the_option(kind: str) -> None:
    def asking(device_class: str) -> Object:
        name = f"deviceclass.resource.kubernetes.io/{device_class}"
        resources = {"limits": {name: "1"}, "requests": {name: "1"}}
        pod = a_pod()
        pod["spec"][kind] = [{"name": "main", "image": "x", "resources": resources}]
        return pod

    to_super(asking("gpu"), TENANT, OFFERS)
    with pytest.raises(Refused, match="'fpga' is not offered here; offered: gpu"):
        to_super(asking("fpga"), TENANT, OFFERS)
    with pytest.raises(Refused, match="'gpu' is not offered here; offered: none"):
        to_super(asking("gpu"), ACME, OFFERS)

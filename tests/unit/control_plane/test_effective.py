"""A tenant may tighten its class, never loosen it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster import api
from vcluster.control_plane.effective import NODES_MODES, POD_SECURITY, InvalidSpec, effective

STANDARD: dict[str, Any] = {"spec": {}}


def a_class(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def test_defaults() -> None:
    assert effective({}, STANDARD) == {
        "nodes": {"mode": "all", "selector": {}},
        "policy": {
            "podSecurity": "baseline",
            "deniedTaints": list(api.CONTROL_PLANE_TAINTS),
            "withheldAnnotations": list(api.WITHHELD_ANNOTATIONS),
        },
        "quota": {
            "hard": {},
            "datastore": {"objects": 100_000, "size": "512Mi", "history": "256Mi"},
        },
        "sync": {
            "ingresses": False,
            "ingressClasses": [],
            "ingressAnnotations": [],
            "volumeSnapshots": False,
            "resourceClaims": False,
            "opaqueConfigurationDrivers": [],
            "customResources": [],
        },
        "scheduling": {"weight": 1},
        "dns": {"enabled": True, "image": api.DNS_IMAGE},
    }


def test_volumes_that_pods_name_are_the_classs_at_most() -> None:
    offered = a_class(policy={"volumeTypes": ["csi", "nfs"]})
    assert effective({}, offered)["policy"]["volumeTypes"] == ["csi", "nfs"]
    narrower = effective({"policy": {"volumeTypes": ["nfs"]}}, offered)["policy"]
    assert narrower["volumeTypes"] == ["nfs"]
    with pytest.raises(InvalidSpec, match="volumeTypes") as refused:
        effective({"policy": {"volumeTypes": ["iscsi"]}}, offered)
    assert refused.value.reason == "LooserThanClass"


@given(st.sampled_from(POD_SECURITY), st.sampled_from(POD_SECURITY))
def test_pod_security_is_never_looser_than_the_class(wanted: str, limit: str) -> None:
    spec, limits = {"policy": {"podSecurity": wanted}}, a_class(policy={"podSecurity": limit})
    if POD_SECURITY.index(wanted) >= POD_SECURITY.index(limit):
        assert effective(spec, limits)["policy"]["podSecurity"] == wanted
    else:
        with pytest.raises(InvalidSpec, match=r"spec\.policy\.podSecurity.*must be"):
            effective(spec, limits)


@given(st.sampled_from(NODES_MODES), st.sampled_from(NODES_MODES))
def test_no_more_nodes_are_shown_than_the_class_shows(wanted: str, limit: str) -> None:
    spec, limits = {"nodes": {"mode": wanted}}, a_class(nodes={"mode": limit})
    if wanted == "all" and limit == "used":
        with pytest.raises(InvalidSpec, match=r"spec\.nodes\.mode"):
            effective(spec, limits)
    else:
        assert effective(spec, limits)["nodes"]["mode"] == wanted


def test_selectors_add_up() -> None:
    spec = {"nodes": {"selector": {"zone": "a"}}}
    limits = a_class(nodes={"selector": {"pool": "gpu"}})
    assert effective(spec, limits)["nodes"]["selector"] == {"pool": "gpu", "zone": "a"}


def test_a_selector_cannot_leave_the_classs_pool() -> None:
    spec = {"nodes": {"selector": {"pool": "cpu"}}}
    with pytest.raises(InvalidSpec, match=r"spec\.nodes\.selector\[pool\].*'gpu'"):
        effective(spec, a_class(nodes={"selector": {"pool": "gpu"}}))


def test_a_quota_is_the_classs_and_what_the_tenant_adds() -> None:
    spec = {"quota": {"hard": {"pods": 5, "requests.cpu": "500m"}}}
    limits = a_class(quota={"hard": {"pods": "10", "requests.memory": "4Gi"}})
    assert effective(spec, limits)["quota"]["hard"] == {
        "pods": "5",
        "requests.cpu": "500m",
        "requests.memory": "4Gi",
    }


@pytest.mark.parametrize(
    ("amount", "reason"), [("1001m", "LooserThanClass"), (-1, "InvalidQuantity"), ("much", "Inv")]
)
def test_a_quota_is_never_looser_than_the_class(amount: Any, reason: str) -> None:
    limits = a_class(quota={"hard": {"requests.cpu": 1}})
    with pytest.raises(InvalidSpec, match=r"spec\.quota\.hard\[requests\.cpu\]") as caught:
        effective({"quota": {"hard": {"requests.cpu": amount}}}, limits)
    assert caught.value.reason.startswith(reason)


@given(st.integers(1, 100), st.integers(1, 100))
def test_the_class_bounds_the_weight(weight: int, maximum: int) -> None:
    limits = a_class(scheduling={"weight": 1, "maximumWeight": maximum})
    spec = {"scheduling": {"weight": weight}}
    if weight <= maximum:
        assert effective(spec, limits)["scheduling"]["weight"] == weight
    else:
        with pytest.raises(InvalidSpec, match=f"at most {maximum}"):
            effective(spec, limits)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.className: there is no .*'gold'") as caught:
        effective({"className": "gold"}, None)
    assert caught.value.reason == "ClassNotFound"


WIDGETS = {"group": "example.com", "version": "v1", "plural": "widgets", "kind": "Widget"}
GADGETS = WIDGETS | {"plural": "gadgets", "kind": "Gadget"}


def test_a_tenant_has_all_that_its_class_has_mirrored_unless_it_says_so() -> None:
    offered = {
        "ingresses": True,
        "ingressClasses": ["a", "b"],
        "ingressAnnotations": ["example.com/*"],
        "volumeSnapshots": True,
        "resourceClaims": True,
        "opaqueConfigurationDrivers": ["gpu.example.com"],
        "customResources": [WIDGETS, GADGETS],
    }
    assert effective({}, a_class(sync=offered))["sync"] == offered
    less = {
        "ingresses": False,
        "ingressClasses": ["b"],
        "volumeSnapshots": False,
        "resourceClaims": False,
        "customResources": ["gadgets.example.com"],
    }
    merged = effective({"sync": less}, a_class(sync=offered))["sync"]
    assert merged == offered | less | {"customResources": [GADGETS]}


@pytest.mark.parametrize(
    ("wanted", "limits", "said"),
    [
        ({"ingresses": True}, {}, r"spec\.sync\.ingresses: true is more than the class allows"),
        ({"resourceClaims": True}, {}, r"spec\.sync\.resourceClaims: true is more"),
        ({"volumeSnapshots": True}, {}, r"spec\.sync\.volumeSnapshots: true is more"),
        ({"ingressClasses": ["c"]}, {"ingressClasses": ["a"]}, r"'c' is not allowed.*: a"),
        ({"ingressClasses": []}, {"ingressClasses": ["a"]}, r"would allow all classes"),
        (
            {"customResources": ["gadgets.example.com"]},
            {"customResources": [WIDGETS]},
            r"spec\.sync\.customResources: 'gadgets\.example\.com'.*: widgets\.example\.com",
        ),
    ],
)
def test_no_more_is_mirrored_than_the_class_allows(
    wanted: dict[str, Any], limits: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSpec, match=said):
        effective({"sync": wanted}, a_class(sync=limits))


def test_a_class_that_narrows_nothing_lets_tenants_choose_their_ingress_classes() -> None:
    merged = effective({"sync": {"ingressClasses": ["c"]}}, a_class(sync={"ingresses": True}))
    assert merged["sync"]["ingressClasses"] == ["c"]


def test_the_share_of_the_datastore_is_at_most_the_classs() -> None:
    limits = a_class(quota={"datastore": {"objects": 5000, "size": "64Mi", "history": "256Mi"}})
    spec = {"quota": {"datastore": {"objects": 2000, "history": "128Mi"}}}
    merged = effective(spec, limits)["quota"]["datastore"]
    assert merged == {"objects": 2000, "size": "64Mi", "history": "128Mi"}
    for wanted in ({"objects": 5001}, {"size": "1Gi"}, {"history": "257Mi"}):
        with pytest.raises(InvalidSpec, match=r"spec\.quota\.datastore.*must be at most"):
            effective({"quota": {"datastore": wanted}}, limits)

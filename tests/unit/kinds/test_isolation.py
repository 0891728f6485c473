"""The isolation covers exactly the pods that no policy of the tenant selects."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds.isolation import MOST, policies, unselected
from syncer.kinds.network_policy import Ranges
from tests.unit.kinds.builders import ACME
from vcluster import api

RANGES = Ranges.parse(["10.128.0.0/12"], ["10.96.0.0/12"])


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """As Kubernetes matches (apimachinery, labels.Requirement.Matches)."""
    expressions = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    return all(
        {
            "In": labels.get(item["key"]) in item.get("values", ()),
            "NotIn": labels.get(item["key"]) not in item.get("values", ()),
            "Exists": item["key"] in labels,
            "DoesNotExist": item["key"] not in labels,
        }[item["operator"]]
        for item in [*expressions, *(selector.get("matchExpressions") or ())]
    )


def spec(selector: Object, *kinds: str) -> Object:
    return {"podSelector": selector, "policyTypes": list(kinds)}


def selected(found: list[Object], kind: str) -> list[Object]:
    return [item["spec"]["podSelector"] for item in found if item["spec"]["policyTypes"] == [kind]]


def test_the_way_to_the_own_api_server_stays_open_and_to_no_other() -> None:
    ranges = Ranges.parse(["10.128.0.0/12"], ["10.208.0.0/16"], "10.208.128.1")
    tenant = msgspec.structs.replace(ACME, api_server_port=20001)
    found = {
        item["spec"]["policyTypes"][0]: item["spec"] for item in policies("a", tenant, [], ranges)
    }
    assert found["Egress"]["egress"][1:] == [
        {
            "to": [{"ipBlock": {"cidr": "10.208.128.1/32"}}],
            "ports": [{"protocol": "TCP", "port": 20001}],
        }
    ]
    assert len(found["Ingress"]["ingress"]) == 1


def test_without_policies_of_the_tenant_all_pods_are_isolated() -> None:
    found = policies("acme-web", ACME, [], RANGES)
    assert selected(found, "Ingress") == selected(found, "Egress") == [{}]
    for item in found:
        assert item["metadata"]["labels"][api.TENANT_LABEL] == ACME.key
        assert api.UID_ANNOTATION not in item["metadata"]["annotations"]


def test_a_tenant_can_shut_off_all_its_pods() -> None:
    """An isolation that selects the same pods would open them again."""
    found = policies("acme-web", ACME, [spec({}, "Ingress")], RANGES)
    assert selected(found, "Ingress") == []
    assert selected(found, "Egress") == [{}]


def test_too_many_selectors_isolate_all() -> None:
    many = [{"matchLabels": {f"a{number}": "x", f"b{number}": "x"}} for number in range(MOST)]
    assert unselected(many) == [{}]


KEYS, VALUES = ["app", "tier"], ["a", "b"]
expressions: Any = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(VALUES), min_size=1, unique=True),
        }
    ),
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(["Exists", "DoesNotExist"]),
        }
    ),
)
selectors = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
        "matchExpressions": st.lists(expressions, max_size=2),
    },
)


def requirement(operator: str, *values: str) -> Object:
    return {"key": "app", "operator": operator} | ({"values": list(values)} if values else {})


@pytest.mark.parametrize(
    ("own", "ours"),
    [
        (requirement("In", "a", "b"), requirement("NotIn", "a", "b")),
        (requirement("NotIn", "a"), requirement("In", "a")),
        (requirement("Exists"), requirement("DoesNotExist")),
        (requirement("DoesNotExist"), requirement("Exists")),
    ],
)
def test_each_requirement_has_an_opposite(own: Object, ours: Object) -> None:
    assert unselected([{"matchExpressions": [own]}]) == [{"matchExpressions": [ours]}]


@settings(max_examples=300)
@given(
    given=st.lists(selectors, max_size=3),
    labels=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
)
def test_a_pod_is_selected_by_the_tenants_policies_or_by_ours(
    given: list[Object], labels: dict[str, str]
) -> None:
    ours = unselected(given)
    if ours == [{}] and given:
        return  # too many
    by_tenant = any(matches(selector, labels) for selector in given)
    assert any(matches(selector, labels) for selector in ours) is not by_tenant


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_what_it_allows(direction: str) -> None:
    found = policies("acme-web", ACME, [], RANGES)
    (policy,) = (item for item in found if direction in item["spec"])
    ((peers,),) = (rule.values() for rule in policy["spec"][direction])
    namespaces, *blocks = peers
    assert namespaces == {"namespaceSelector": {"matchLabels": {api.TENANT_LABEL: ACME.key}}}
    (block,) = (peer["ipBlock"] for peer in blocks if peer["ipBlock"]["cidr"] == "0.0.0.0/0")
    assert "10.128.0.0/12" in block["except"]
    assert ("10.96.0.0/12" in block["except"]) is (direction == "egress")
    assert ("169.254.0.0/16" in block["except"]) is (direction == "egress")

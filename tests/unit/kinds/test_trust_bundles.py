"""Which trust bundles a pod mounts, and what of them."""

import pytest

from kube.objects import Object
from syncer.kinds.trust_bundles import TrustRequest, trust_anchors, trust_request


def certificate(content: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        (None, None),
        ({}, ""),
        ({"matchLabels": {"a": "1", "b": "2"}}, "a=1,b=2"),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]},
            "a in (1,2)",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, "a notin (1)"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a"),
    ],
)
def test_a_selector_is_asked_for_as_in_the_query_of_a_list(
    selector: Object | None, labels: str | None
) -> None:
    asked = {"signerName": "example.com/a", "labelSelector": selector, "path": "a.pem"}
    assert trust_request(asked) == TrustRequest(signer="example.com/a", labels=labels)


def test_each_certificate_is_mounted_once_and_nothing_beside() -> None:
    bundles = [f"a note\n{certificate('one')}{certificate('two')}", certificate("one")]
    assert trust_anchors(bundles) == certificate("one") + certificate("two")

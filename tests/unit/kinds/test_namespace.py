"""Namespaces, downward."""

import copy

import pytest

from syncer.kinds import namespace
from syncer.kinds.mirror import Refused
from tests.unit.kinds.builders import ACME, a_namespace, live, merged
from vcluster import api
from vcluster.api import Policy, Tenant

ENFORCE = "pod-security.kubernetes.io/enforce"


def test_it_goes_down_under_the_tenants_key() -> None:
    wanted = namespace.to_super(a_namespace("web"), ACME)
    assert wanted["metadata"]["name"] == "acme-1f3a9c2e-web"
    assert "namespace" not in wanted["metadata"]
    assert wanted["metadata"]["labels"][api.NAMESPACE_LABEL] == "web"
    assert wanted["metadata"]["annotations"][api.NAME_ANNOTATION] == "web"


def test_labels_pass_but_the_name_label_is_each_api_servers_own() -> None:
    source = a_namespace("web", team="a", **{"kubernetes.io/metadata.name": "web"})
    labels = namespace.to_super(source, ACME)["metadata"]["labels"]
    assert labels["namespace.virtualcluster.dev/team"] == "a"
    assert "kubernetes.io/metadata.name" not in labels


TRUSTED = {
    "team": "infrastructure",
    "admission.gatekeeper.sh/ignore": "true",
    "pod-security.kubernetes.io/audit": "privileged",
}


def test_what_the_provider_goes_by_is_not_the_tenants_to_say() -> None:
    source = a_namespace("web", **TRUSTED)
    source["metadata"]["annotations"] = {"scheduler.alpha.kubernetes.io/node-selector": "a=b"}
    found = namespace.to_super(source, ACME)["metadata"]
    for key in found["labels"].keys() | found["annotations"].keys():
        domain = key.partition("/")[0]
        assert domain.endswith(api.GROUP) or key.startswith(ENFORCE), key
    assert found["labels"]["admission.gatekeeper.sh.namespace.virtualcluster.dev/ignore"] == "true"
    key = "scheduler.alpha.kubernetes.io.namespace.virtualcluster.dev/node-selector"
    assert found["annotations"][key] == "a=b"


def test_reserved_keys_are_refused_under_the_tenants_own_name() -> None:
    with pytest.raises(Refused, match=r"'virtualcluster\.dev/tenant' is reserved"):
        namespace.to_super(a_namespace("web", **{api.TENANT_LABEL: "x"}), ACME)


@pytest.mark.parametrize(
    ("own", "of_the_provider", "enforced"),
    [
        (None, "baseline", "baseline"),
        ("privileged", "baseline", "baseline"),
        ("restricted", "baseline", "restricted"),
        ("baseline", "restricted", "restricted"),
        ("privileged", "privileged", "privileged"),
        ("no such level", "baseline", "restricted"),
    ],
)
def test_the_stricter_pod_security_level_is_enforced(
    own: str | None, of_the_provider: str, enforced: str
) -> None:
    tenant = Tenant(
        key="acme-1f3a9c2e",
        name="acme",
        namespace="t",
        uid="u",
        policy=Policy(pod_security=of_the_provider),
    )
    source = a_namespace("web", **({ENFORCE: own} if own else {}))
    assert namespace.to_super(source, tenant)["metadata"]["labels"][ENFORCE] == enforced


def test_a_pinned_version_of_the_policy_does_not_weaken_it() -> None:
    source = a_namespace("web", **{f"{ENFORCE}-version": "v1.20"})
    labels = namespace.to_super(source, ACME)["metadata"]["labels"]
    assert labels[f"{ENFORCE}-version"] == "latest"


def test_finalizers_stay_and_unknown_fields_pass() -> None:
    source = a_namespace() | {"novel": 1}
    source["spec"]["future"] = {"x": [1]}
    wanted = namespace.to_super(source, ACME)
    assert wanted["spec"] == {"future": {"x": [1]}}
    assert wanted["novel"] == 1
    assert "spec" not in namespace.to_super(a_namespace(), ACME)


def test_a_patch_keeps_what_the_super_cluster_owns() -> None:
    mirror = live(
        namespace.to_super(a_namespace("web", team="a"), ACME),
        spec={"finalizers": ["kubernetes"]},
        status={"phase": "Active"},
    )
    mirror["metadata"]["labels"]["kubernetes.io/metadata.name"] = "acme-1f3a9c2e-web"
    wanted = namespace.to_super(a_namespace("web", tier="front"), ACME)
    patch = namespace.patch(mirror, wanted)
    assert patch is not None
    prefix = "namespace.virtualcluster.dev/"
    assert patch["metadata"]["labels"] == {f"{prefix}team": None, f"{prefix}tier": "front"}
    assert patch.keys() == {"metadata"}
    assert namespace.patch(merged(mirror, patch), wanted) is None


def test_an_unknown_field_arrives_by_a_patch_as_well() -> None:
    mirror = live(namespace.to_super(a_namespace(), ACME), spec={"finalizers": ["kubernetes"]})
    source = a_namespace()
    source["spec"]["future"] = True
    patch = namespace.patch(mirror, namespace.to_super(source, ACME))
    assert patch is not None
    assert patch["spec"] == {"future": True}


def test_the_input_is_left_alone() -> None:
    source = a_namespace("web", **{ENFORCE: "restricted"})
    before = copy.deepcopy(source)
    namespace.to_super(source, ACME)
    assert source == before

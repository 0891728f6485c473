"""The back wall: what a policy refuses, completes and leaves alone."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds.mirror import Refused
from syncer.kinds.pod import mutable_digest, to_super
from syncer.kinds.pod_policy import admitted, comes_from, refuse_changes, repository
from tests.pod_policy_cases import (
    BASELINE,
    CONFIGURED,
    POLICY,
    RESTRICTED,
    STORAGE,
    Case,
    secured,
)
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import OFFERS, a_container, a_pod, live_mirror
from vcluster.api import Policy, ResourceRule, Tenant


def a_tenant(runtime_class: str = "", **policy: Any) -> Tenant:
    return msgspec.structs.replace(ACME, runtime_class=runtime_class, policy=Policy(**policy))


def judged(case: Case, policy: Policy) -> str:
    """What the tenant is told; empty if nothing."""
    pod = a_pod(**case.pod()["spec"])
    pod["metadata"]["annotations"] = {**case.annotations}
    tenant = msgspec.structs.replace(ACME, policy=policy)
    try:
        admitted(to_super(pod, tenant, OFFERS), tenant)
    except Refused as refused:
        return str(refused)
    return ""


def below(tenant: Tenant, **spec: Any) -> Object:
    """The spec of the admitted super pod."""
    spec_below: Object = admitted(to_super(a_pod(**spec), tenant, OFFERS), tenant)["spec"]
    return spec_below


LEVELS = [
    *(pytest.param(case, Policy(), id=case.name) for case in (*BASELINE, *STORAGE)),
    *(
        pytest.param(case, Policy(pod_security="restricted"), id=f"restricted-{case.name}")
        for case in RESTRICTED
    ),
    *(pytest.param(case, msgspec.convert(POLICY, Policy), id=case.name) for case in CONFIGURED),
]


@pytest.mark.parametrize(("case", "policy"), LEVELS)
def test_what_is_refused_names_its_field(case: Case, policy: Policy) -> None:
    told = judged(case, policy)
    assert told.startswith(case.refused) if case.refused else not told


@pytest.mark.parametrize("case", [*BASELINE, *STORAGE, *RESTRICTED], ids=lambda case: case.name)
def test_the_level_privileged_forbids_nothing(case: Case) -> None:
    assert not judged(case, Policy(pod_security="privileged"))


@pytest.mark.parametrize("case", [c for c in BASELINE if c.refused], ids=lambda case: case.name)
def test_what_the_baseline_forbids_restricted_forbids(case: Case) -> None:
    assert judged(case, Policy(pod_security="restricted"))


def test_storage_that_the_provider_lets_pods_name() -> None:
    allowed = Policy(volume_types=("nfs",))
    nfs, csi, *_ = STORAGE
    assert not judged(nfs, allowed)
    assert judged(csi, allowed).startswith("spec.volumes[data].csi: ")


def test_proc_is_masked() -> None:
    told = judged(Case("proc", "", secured(procMount="Unmasked")), Policy())
    assert told.startswith("spec.containers[main].securityContext.procMount: 'Unmasked'")


def test_a_kubelets_own_pods_cannot_be_played() -> None:
    told = judged(Case("mirror", "", {}, {"kubernetes.io/config.mirror": "x"}), Policy())
    assert told.startswith("metadata.annotations[kubernetes.io/config.mirror]")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"seccompProfile": {"type": "RuntimeDefault"}}),
        ({"runAsUser": 7}, {"runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}}),
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}, None),
    ],
)
def test_seccomp_is_on_unless_the_pod_says_how(own: Object, expected: Object | None) -> None:
    assert below(a_tenant(), securityContext=own)["securityContext"] == (expected or own)


def test_seccomp_stays_unset_where_it_has_no_meaning_or_no_limits_hold() -> None:
    assert "securityContext" not in below(a_tenant(), os={"name": "windows"})
    assert "securityContext" not in below(a_tenant(pod_security="privileged"))


def test_a_forced_runtime_class_need_not_be_offered() -> None:
    tenant = a_tenant(runtime_class="kata")
    assert below(tenant)["runtimeClassName"] == "kata"
    assert below(tenant, runtimeClassName="kata")["runtimeClassName"] == "kata"
    with pytest.raises(Refused, match=r"spec\.runtimeClassName: 'gvisor' .* 'kata'"):
        below(tenant, runtimeClassName="gvisor")


def test_defaults_fill_in_what_a_container_leaves_out() -> None:
    tenant = a_tenant(
        requests=ResourceRule(defaults={"cpu": "100m", "memory": "1Gi"}),
        limits=ResourceRule(defaults={"memory": "2Gi"}),
    )
    main = a_container(resources={"requests": {"cpu": "2"}, "claims": [{"name": "gpu"}]})
    spec = below(tenant, containers=[main], initContainers=[a_container("first")])
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi"},
        "limits": {"memory": "2Gi"},
        "claims": [{"name": "gpu"}],
    }
    assert spec["initContainers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}


def test_what_the_whole_pod_says_is_not_said_again() -> None:
    tenant = a_tenant(limits=ResourceRule(required=("memory",), defaults={"memory": "1Gi"}))
    spec = below(tenant, resources={"limits": {"memory": "3Gi"}})
    assert "resources" not in spec["containers"][0]


def test_the_deadline() -> None:
    assert "activeDeadlineSeconds" not in below(a_tenant())
    assert below(a_tenant(active_deadline_seconds=60))["activeDeadlineSeconds"] == 60
    tenant = a_tenant(active_deadline_seconds=60)
    assert below(tenant, activeDeadlineSeconds=5)["activeDeadlineSeconds"] == 5


@given(
    st.sampled_from([Policy(), Policy(pod_security="privileged"), msgspec.convert(POLICY, Policy)])
)
def test_a_policy_that_changes_leaves_running_pods_alone(policy: Policy) -> None:
    changed = msgspec.structs.replace(ACME, policy=policy, runtime_class="kata")
    assert mutable_digest(a_pod(), changed) == mutable_digest(a_pod(), ACME)


CHANGES = [
    ({"metadata": {"labels": {"a": "b"}}}, ""),
    ({"spec": {"containers": [{"name": "main", "image": "ghcr.io/acme/app:2"}]}}, ""),
    ({"spec": {"containers": [{"name": "main", "image": "evil.example/app"}]}}, "spec.containers"),
    ({"spec": {"ephemeralContainers": [a_container("debug", image="demo")]}}, ""),
    (
        {
            "spec": {
                "ephemeralContainers": [a_container("debug", securityContext={"privileged": True})]
            }
        },
        "spec.ephemeralContainers",
    ),
    ({"spec": {"tolerations": [{"operator": "Exists"}]}}, "spec.tolerations"),
    ({"spec": {"tolerations": [{"key": "example.com/provider", "value": "old"}]}}, ""),
    ({"spec": {"activeDeadlineSeconds": 3600}}, ""),
    ({"spec": {"activeDeadlineSeconds": 3601}}, "spec.activeDeadlineSeconds"),
]


@pytest.mark.parametrize(("change", "refused"), CHANGES)
def test_a_change_is_judged_by_what_it_brings_in(change: Object, refused: str) -> None:
    """The live pod is older than the policy, which would refuse it today."""
    live = live_mirror(a_pod(hostNetwork=True))
    live["spec"]["tolerations"] = [{"key": "example.com/provider", "value": "old"}]
    tenant = msgspec.structs.replace(ACME, policy=msgspec.convert(POLICY, Policy))
    if refused:
        with pytest.raises(Refused) as caught:
            refuse_changes(live, change, tenant)
        assert caught.value.field.startswith(refused)
    else:
        refuse_changes(live, change, tenant)


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1", "docker.io/library/nginx:1"),
        ("bitnami/nginx", "docker.io/bitnami/nginx"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx"),
        ("localhost/x", "localhost/x"),
        ("registry:5000/x", "registry:5000/x"),
        ("ghcr.io/a/b", "ghcr.io/a/b"),
    ],
)
def test_the_full_name_of_an_image(image: str, full: str) -> None:
    assert repository(image) == full


@given(st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,3})?(:[0-9]{1,4})?(/[a-z]{1,4}){0,2}", fullmatch=True))
def test_an_image_outside_a_registry_never_passes(image: str) -> None:
    inside = repository(image).partition("@")[0]
    if comes_from(image, "ghcr.io"):
        assert inside.startswith("ghcr.io/")

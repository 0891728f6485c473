"""The tenant's policy at its own API server, which says at once what is not allowed.

That it is put back is tested in tests/hostile/test_tampering.py.
"""

import json
from collections.abc import Sequence
from functools import partial

import pytest
import yaml

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment
from tests.pod_policy_cases import (
    BASELINE,
    CONFIGURED,
    POLICY,
    RESTRICTED,
    STORAGE,
    Case,
    secured,
)

MIGHTY = Case(
    "mighty", "spec.containers[main].securityContext.privileged", secured(privileged=True)
)


def answers(tenant: TenantCluster, cases: Sequence[Case]) -> dict[str, str]:
    """What the API server says to each pod; nothing is created."""
    pods = yaml.safe_dump_all([case.pod() for case in cases])
    lines = tenant.kubectl("create", "--dry-run=server", "-f", "-", stdin=pods, check=False)
    return {
        case.name: next(
            line
            for line in lines.splitlines()
            if f'"{case.name}"' in line or line.startswith(f"pod/{case.name} ")
        )
        for case in cases
    }


def misjudged(tenant: TenantCluster, cases: Sequence[Case]) -> dict[str, str]:
    """The pods that are admitted and should not be, or the other way round, or for another reason."""
    expected = {
        case.name: f"denied request: {case.refused}" if case.refused else "created (server dry run)"
        for case in cases
    }
    said = answers(tenant, cases)
    return {name: said[name] for name, text in expected.items() if text not in said[name]}


def agrees(tenant: TenantCluster, case: Case) -> bool:
    return not misjudged(tenant, [case])


@pytest.fixture(scope="module")
def strict(local: LocalSystem) -> TenantCluster:
    """A tenant whose policy the tests change."""
    return local.create_tenant("strict")


def change_policy(local: LocalSystem, tenant: TenantCluster, policy: Object | None) -> None:
    for value in (None, policy):
        patch = json.dumps({"spec": {"policy": value}})
        args = ("-n", "tenants", "patch", "virtualcluster", tenant.name, "--type=merge")
        local.super.kubectl(*args, "-p", patch)


def test_what_is_not_safe_is_refused_with_a_sentence_that_names_the_field(
    strict: TenantCluster,
) -> None:
    wait_for("the front door is there", partial(agrees, strict, MIGHTY))
    assert not misjudged(strict, [*BASELINE, *STORAGE])


def test_a_policy_that_changes_holds_at_once(local: LocalSystem, strict: TenantCluster) -> None:
    change_policy(local, strict, POLICY)
    wait_for("the new policy holds", partial(agrees, strict, CONFIGURED[2]))
    assert not misjudged(strict, CONFIGURED)
    change_policy(local, strict, {"podSecurity": "restricted"})
    wait_for("the next policy holds", partial(agrees, strict, RESTRICTED[1]))
    assert not misjudged(strict, RESTRICTED)
    change_policy(local, strict, None)
    wait_for("the safe default holds", partial(agrees, strict, BASELINE[0]))


def test_a_template_is_warned_about_and_what_exists_can_still_be_changed(
    strict: TenantCluster,
) -> None:
    template = yaml.safe_dump(deployment("daemon", replicas=0, hostNetwork=True))
    tried = ("apply", "--dry-run=server", "-f", "-")
    # The API server takes up each of its policies in a moment of its own.
    wait_for(
        "the policy for templates holds",
        lambda: "Warning" in strict.kubectl(*tried, stdin=template, check=False),
    )
    answer = strict.kubectl("apply", "-f", "-", stdin=template, check=False)
    assert "deployment.apps/daemon created" in answer
    assert "Warning" in answer
    assert "spec.hostNetwork: true is not allowed" in answer
    answer = strict.kubectl("label", "deployment", "daemon", "a=b", check=False)
    assert "labeled" in answer
    assert "Warning" not in answer
    strict.kubectl("delete", "deployment", "daemon")


def tried(tenant: TenantCluster, *command: str, stdin: str = "") -> str:
    """What kubectl says of a command that changes nothing."""
    return tenant.kubectl(*command, "--dry-run=server", stdin=stdin, check=False)


def test_what_a_tenant_writes_to_nodes_in_vain_draws_a_warning(strict: TenantCluster) -> None:
    said = partial(tried, strict)
    [node, *_] = [item["metadata"]["name"] for item in strict.items("nodes")]
    theirs, mine = (
        json.dumps({"status": {"capacity": amounts, "allocatable": amounts}})
        for amounts in ({"cpu": "1000"}, {"example.com/gpu": "4"})
    )
    made = yaml.safe_dump({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "made"}})
    creation = ("create", "-f", "-")
    wait_for("the policy for nodes holds", lambda: "Warning" in said(*creation, stdin=made))
    status = ("patch", "node", node, "--subresource=status", "--type=merge", "-p")
    assert "status: what the provider's node has is undone" in said(*status, theirs)
    assert "Warning" not in said(*status, mine)
    assert "no pod runs on one that is made here" in said(*creation, stdin=made)
    assert "Warning" not in said("label", "node", node, "disk=ssd")
    assert "Warning" not in said("cordon", node)
    assert "Warning" not in said("taint", "node", node, "a=b:NoSchedule")

    def checked() -> Object:
        found = strict.get("validatingadmissionpolicy", "virtualcluster-nodes") or {}
        status: Object = found.get("status") or {}
        return status

    status_of_policy = wait_for("the policy's expressions are checked", checked)
    assert not status_of_policy.get("typeChecking"), "the API server understands each of them"


def test_what_a_tenant_takes_from_the_providers_nodes_draws_a_warning(
    local: LocalSystem, strict: TenantCluster
) -> None:
    said = partial(tried, strict)
    [node, *_] = [item["metadata"]["name"] for item in strict.items("nodes")]

    def shown() -> bool:
        found: Object = (strict.get("node", node, "") or {})["spec"]
        return bool(found.get("taints") and found.get("unschedulable"))

    local.super.kubectl("taint", "node", node, "theirs=1:PreferNoSchedule")
    local.super.kubectl("cordon", node)
    try:
        wait_for("it is shown", shown)
        wait_for("the policy for nodes holds", lambda: "Warning" in said("uncordon", node))
        assert "spec.unschedulable: the provider has cordoned" in said("uncordon", node)
        for change in ("theirs-", "theirs=2:PreferNoSchedule"):
            answer = said("taint", "node", node, change, "--overwrite")
            assert "spec.taints: the provider's own are undone" in answer, change
        for own in ("theirs=1:NoSchedule", "a=b:NoSchedule"):
            assert "Warning" not in said("taint", "node", node, own), own
    finally:
        local.super.kubectl("taint", "node", node, "theirs-")
        local.super.kubectl("uncordon", node)

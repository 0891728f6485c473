"""The tenant's API server refuses what the syncer writes, or thinks about it for long: only she waits."""

from collections.abc import Iterable
from functools import partial

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment
from tests.hostile.bystander import alice_works

ADMISSION = "admissionregistration.k8s.io/v1"
EVERYTHING = {
    "apiGroups": ["*"],
    "apiVersions": ["*"],
    "operations": ["*"],
    "resources": ["*/*"],
    "scope": "*",
}
SLOW = 100
"""So many questions has the egress proxy for each write, and answers 20 of a tenant's in a second."""
MANY = 60
"""More pods than the syncer has workers."""
NAME = "in-the-way"


def webhooks(ports: Iterable[int], policy: str) -> list[Object]:
    hooks = [
        {
            "name": f"in.the.way.{port}",
            "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
            "rules": [EVERYTHING],
            "failurePolicy": policy,
            "timeoutSeconds": 30,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        for port in ports
    ]
    kind = "ValidatingWebhookConfiguration"
    return [{"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": NAME}, "webhooks": hooks}]


def reckoning() -> list[Object]:
    """Policies that count to a million, again and again, until the API server has had enough of each."""
    numbers = str(list(range(100)))
    long = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a + b + c < 1000)))"
    spec = {
        "failurePolicy": "Ignore",
        "matchConstraints": {"resourceRules": [EVERYTHING]},
        "validations": [{"expression": long}] * 10,
    }
    made: list[Object] = []
    for number in range(4):
        name = {"apiVersion": ADMISSION, "metadata": {"name": f"{NAME}-{number}"}}
        binding = {"policyName": f"{NAME}-{number}", "validationActions": ["Deny"]}
        made.append(name | {"kind": "ValidatingAdmissionPolicy", "spec": spec})
        made.append(name | {"kind": "ValidatingAdmissionPolicyBinding", "spec": binding})
    return made


OBSTACLES = {
    "refuses": webhooks([1], "Fail"),
    # The egress proxy lets no listener keep her API server waiting; but it makes itself wait for her.
    "hangs": webhooks(range(1, SLOW + 1), "Ignore"),
    # That is for a few writes at once, since connections are limited; this is for all of them.
    "reckons": reckoning(),
}


@pytest.mark.parametrize("manner", OBSTACLES)
def test_what_is_in_the_way_of_the_syncer(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster, manner: str
) -> None:
    mallory.apply(deployment("many", MANY))
    mallory.kubectl("rollout", "status", "deployment/many", "--timeout=150s")
    mallory.apply(*OBSTACLES[manner])
    wait_for("it is in the way", partial(bothered, mallory))
    # The super cluster takes her pods away: the syncer has to write that, and cannot.
    own = ("-n", mallory.super_namespace(), "-l", "app=many")
    names = {item["metadata"]["name"] for item in local.super.items("pods", *own)}
    assert len(names) == MANY
    local.super.kubectl("delete", "pods", *own, "--wait=false")
    for _ in range(3):
        alice_works(alice)
    for obstacle in OBSTACLES[manner]:
        mallory.kubectl("delete", obstacle["kind"], obstacle["metadata"]["name"])

    def written() -> bool:
        return names.isdisjoint(item["metadata"]["name"] for item in mallory.items("pods"))

    # What was tried in vain may have to wait for its next turn.
    wait_for("her pods are gone, all is written", written, 240)
    mallory.kubectl("delete", "deployment", "many", "--wait=false")


def bothered(mallory: TenantCluster) -> bool:
    """A write of hers is refused, or takes longer than the syncer waits."""
    ask = ("create", "configmap", "bothered", "--dry-run=server", "--request-timeout=5s")
    return "created" not in mallory.kubectl(*ask, check=False)

"""The tenant fills its share of the datastore, and tries to go on."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.hostile.bystander import alice_works, patched

AS_API_SERVER = ("--as=system:apiserver", "--as-group=system:masters")
LARGE = 400_000


@pytest.fixture
def small_share(local: LocalSystem, mallory: TenantCluster) -> Iterator[None]:
    """8 MiB, of which a new control plane has filled one."""
    own = ("patch", "virtualcluster", "mallory", "-n", "tenants")
    before = (local.super.get("virtualcluster", "mallory", "tenants") or {})["spec"].get("quota")
    local.super.kubectl(*own, *patched({"spec": {"quota": {"datastore": {"size": "8Mi"}}}}))
    yield
    local.super.kubectl(*own, *patched({"spec": {"quota": before}}))


def a_large_one(name: str) -> Object:
    metadata = {"name": name, "finalizers": ["example.com/stay"]}
    data = {"a": secrets.token_hex(LARGE // 2)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def refused(mallory: TenantCluster, obj: Object, *arguments: str) -> bool:
    answer = mallory.kubectl("create", "-f", "-", *arguments, stdin=json.dumps(obj), check=False)
    assert "created" in answer or "its share of" in answer, answer
    return "its share of" in answer


def room(local: LocalSystem, reason: str) -> bool:
    """What the VirtualCluster says."""
    found = local.super.get("virtualcluster", "mallory", "tenants") or {}
    conditions = {item["type"]: item for item in found["status"]["conditions"]}
    return bool(conditions.get("DatastoreHasRoom", {}).get("reason") == reason)


def test_a_full_share(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster, small_share: None
) -> None:
    names = [f"large-{index}" for index in range(150)]

    def first_refused(*arguments: str) -> int:
        for index, name in enumerate(names):
            if refused(mallory, a_large_one(name), *arguments):
                return index
        raise AssertionError("the limit does not hold")

    wait_for("the smaller share holds", lambda: "8 MiB" in policies_of(local, mallory))
    taken = first_refused()
    # A share that is full is known a few writes later; how many is the machine's affair.
    assert taken * LARGE <= 40 * 2**20
    del names[:taken]
    wait_for("it is told", lambda: room(local, "Full"))
    alice_works(alice)
    # What the control plane itself may still create, she can as well, but not for long.
    del names[: first_refused(*AS_API_SERVER)]
    wait_for("nothing may grow now", lambda: room(local, "Shut"))
    more = {"metadata": {"annotations": {"a": "x" * 50_000}}}
    answer = mallory.kubectl("patch", "configmap", "large-0", *patched(more), check=False)
    assert "its share of" in answer
    assert "datastore" not in mallory.kubectl("get", "validatingadmissionpolicies", "-o", "name")
    # Deleting works, and whatever it needs.
    mallory.kubectl("delete", "configmaps", "--all", "--wait=false")
    for item in mallory.items("configmaps"):
        if item["metadata"]["name"].startswith("large-"):
            free = patched({"metadata": {"finalizers": None}})
            mallory.kubectl("patch", "configmap", item["metadata"]["name"], *free)
    small = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after"}}
    wait_for("writes work again", lambda: not refused(mallory, small))
    wait_for("it is told", lambda: room(local, "Room"))
    mallory.kubectl("delete", "configmap", "after")


def policies_of(local: LocalSystem, mallory: TenantCluster) -> str:
    directory = local.state_directory / "tenants" / mallory.key / "admission"
    return (directory / "full-datastore.json").read_text()

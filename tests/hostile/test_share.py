"""The tenant fills its share of the datastore, or of its history, and tries to go on."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.hostile.bystander import alice_works, patched

AS_API_SERVER = ("--as=system:apiserver", "--as-group=system:masters")
LARGE = 400_000
LARGEST = 1_000_000
FILE_GROWTH = 100 * 2**20


@contextmanager
def limited(local: LocalSystem, **datastore: str) -> Iterator[None]:
    own = ("patch", "virtualcluster", "mallory", "-n", "tenants")
    before = (local.super.get("virtualcluster", "mallory", "tenants") or {})["spec"].get("quota")
    local.super.kubectl(*own, *patched({"spec": {"quota": {"datastore": datastore}}}))
    yield
    local.super.kubectl(*own, *patched({"spec": {"quota": before}}))


@pytest.fixture
def small_share(local: LocalSystem, mallory: TenantCluster) -> Iterator[None]:
    """8 MiB, of which a new control plane has filled one."""
    with limited(local, size="8Mi"):
        yield


@pytest.fixture
def small_history(local: LocalSystem, mallory: TenantCluster) -> Iterator[None]:
    """8 MiB within the 10 minutes that etcd keeps what was overwritten; afterwards it has room again.

    There is ``large-0`` to overwrite: what she wrote before may be more than the new limit allows.
    """
    mallory.kubectl("create", "-f", "-", stdin=json.dumps(a_large_one("large-0", LARGEST)))
    with limited(local, history="8Mi"):
        yield
    wait_for("there is room", lambda: room(local, "Room"))
    free(mallory)


def a_large_one(name: str, size: int = LARGE) -> Object:
    metadata = {"name": name, "finalizers": ["example.com/stay"]}
    data = {"a": secrets.token_hex(size // 2)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def refused(mallory: TenantCluster, obj: Object, *arguments: str, verb: str = "create") -> bool:
    answer = mallory.kubectl(verb, "-f", "-", *arguments, stdin=json.dumps(obj), check=False)
    assert f"{verb}d" in answer or "its share of" in answer, answer
    return "its share of" in answer


def free(mallory: TenantCluster) -> None:
    """Delete all that is hers, and take the finalizers by which it stays."""
    mallory.kubectl("delete", "configmaps", "--all", "--wait=false")
    for item in mallory.items("configmaps"):
        if item["metadata"]["name"].startswith("large-"):
            change = patched({"metadata": {"finalizers": None}})
            mallory.kubectl("patch", "configmap", item["metadata"]["name"], *change)


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
    free(mallory)
    small = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after"}}
    wait_for("writes work again", lambda: not refused(mallory, small))
    wait_for("it is told", lambda: room(local, "Room"))
    mallory.kubectl("delete", "configmap", "after")


def test_a_full_history(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster, small_history: None
) -> None:
    wait_for("the smaller limit holds", lambda: "is 8 MiB" in policies_of(local, mallory))
    before = etcd_file(local)

    def first_refused(write: Callable[[], bool], tries: int = 200) -> None:
        assert any(write() for _ in range(tries)), "the limit does not hold"

    people: Iterator[tuple[str, ...]] = cycle([(), AS_API_SERVER])

    def overwrites() -> bool:
        changed = a_large_one("large-0", LARGEST)
        return refused(mallory, changed, *next(people), verb="replace")

    first_refused(overwrites)
    assert refused(mallory, a_large_one("large-0", LARGEST), *AS_API_SERVER, verb="replace")
    wait_for("it is told", lambda: not room(local, "Room"))
    alice_works(alice)
    # A deletion asked for in another way writes the object again; only the last stage forbids it.
    ways = cycle(["orphan", "foreground"])

    def deletes() -> bool:
        asked = ("delete", "configmap", "large-0", "--wait=false", f"--cascade={next(ways)}")
        answer = mallory.kubectl(*asked, *AS_API_SERVER, check=False)
        assert "deleted" in answer or "its share of" in answer, answer
        return "its share of" in answer

    first_refused(deletes)
    wait_for("it is told", lambda: room(local, "Stopped"))
    small = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "after"}}
    assert refused(mallory, small, *AS_API_SERVER)
    alice_works(alice)
    assert etcd_file(local) - before <= FILE_GROWTH


def etcd_file(local: LocalSystem) -> int:
    """Bytes."""
    (path,) = local.state_directory.rglob("member/snap/db")
    return path.stat().st_size


def policies_of(local: LocalSystem, mallory: TenantCluster) -> str:
    directory = local.state_directory / "tenants" / mallory.key / "admission"
    return (directory / "full-datastore.json").read_text()

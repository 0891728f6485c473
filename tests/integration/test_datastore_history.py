"""A tenant that overwrites all the time stops before etcd's file is full; time opens it again."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, cycle
from time import monotonic, sleep

import pytest
from kubernetes import client, config

from tests.integration.operator_process import OperatorProcess, running_operator
from tests.integration.super_cluster import SuperCluster
from tests.integration.virtual_clusters import TenantUnderTest, create
from tests.integration.waiting import eventually
from vcluster import api

pytestmark = pytest.mark.integration

WINDOW = 30.0
HISTORY = 8 * 2**20
WRITERS = 8
LARGE, LARGEST = 2**18, 2**20
LATE = 8  # times the history: far below what the writers try, however late the machine throws the switch
FINALIZER = "example.com/stay"


@pytest.fixture(scope="module")
def operator(super_cluster: SuperCluster) -> Iterator[OperatorProcess]:
    settings = {"OPERATOR_ETCD_HISTORY_SECONDS": str(WINDOW)}
    with running_operator(super_cluster, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def tenant(super_cluster: SuperCluster, operator: OperatorProcess) -> Iterator[TenantUnderTest]:
    created = create(super_cluster, "busy", quota={"datastore": {"history": "8Mi"}})
    created.wait_until_ready()
    yield created
    created.delete()
    created.wait_until_gone()


class Administrator:
    """Of the tenant. What it writes is taken, or refused for what was written before."""

    def __init__(self, tenant: TenantUnderTest) -> None:
        loaded = tenant.kubeconfig(api.ADMIN_KUBECONFIG_SECRET)
        connected = config.new_client_from_config_dict(loaded)
        self._core, self._leases = client.CoreV1Api(connected), client.CoordinationV1Api(connected)

    def create(self, name: str, size: int, finalizers: tuple[str, ...] = ()) -> str:
        body = config_map(name, size, finalizers)
        return refusal(lambda: self._core.create_namespaced_config_map("default", body))

    def overwrite(self, name: str, size: int) -> str:
        body = config_map(name, size)
        return refusal(lambda: self._core.replace_namespaced_config_map(name, "default", body))

    def write_small(self, name: str) -> str:
        """A small object, new and then changed, and a Lease."""
        body = {"metadata": {"name": name}, "spec": {"holderIdentity": "me"}}
        return (
            self.create(name, 10)
            or self.overwrite(name, 20)
            or refusal(lambda: self._leases.create_namespaced_lease("default", body))
        )

    def delete(self, name: str, propagation: str = "Background") -> str:
        return refusal(
            lambda: self._core.delete_namespaced_config_map(
                name, "default", propagation_policy=propagation
            )
        )

    def free(self, name: str) -> str:
        """Take the finalizers."""
        body = {"metadata": {"finalizers": None}}
        return refusal(lambda: self._core.patch_namespaced_config_map(name, "default", body))

    def names(self) -> list[str]:
        found = self._core.list_namespaced_config_map("default").items
        return [item.metadata.name for item in found]


def config_map(name: str, size: int, finalizers: tuple[str, ...] = ()) -> dict[str, object]:
    """A different one each time, or nothing would be written."""
    text = str(monotonic()).ljust(size, "x")
    return {"metadata": {"name": name, "finalizers": list(finalizers)}, "data": {"a": text}}


def refusal(write: Callable[[], object]) -> str:
    """Why it is refused; empty: it is written."""
    try:
        write()
    except client.ApiException as error:
        if error.status != 403 or "its share of the datastore's history" not in str(error.body):
            raise
        return str(error.body)
    return ""


class Flood:
    """Writes as fast as it can, again and again, until stopped, or so much is taken that no wall stands."""

    def __init__(self, write: Callable[[int], str]) -> None:
        self._write = write
        self._ended = threading.Event()
        self._began = monotonic()
        self.taken = self.refused = 0

    @property
    def most(self) -> float:
        """Of writes, with a wall: in each window a history, and what comes late."""
        return HISTORY * LATE / LARGE * (1 + (monotonic() - self._began) / WINDOW)

    def run(self, number: int) -> None:
        while not self._ended.is_set() and self.taken < self.most:
            try:
                if self._write(number):
                    self.refused += 1
                    sleep(0.05)
                else:
                    self.taken += 1
            except client.ApiException as error:
                if error.status not in (409, 429, 500, 503, 504):
                    raise

    def is_refused(self) -> bool:
        """AssertionError if too much is taken."""
        assert self.taken < self.most, f"{self.taken} writes taken, {self.refused} refused"
        return self.refused > 0

    def stop(self) -> None:
        self._ended.set()


@contextmanager
def flood(write: Callable[[int], str], writers: int) -> Iterator[Flood]:
    running = Flood(write)
    with ThreadPoolExecutor(writers) as threads:
        ends = [threads.submit(running.run, number) for number in range(writers)]
        try:
            yield running
        finally:
            running.stop()
    for end in ends:
        end.result()


def told(tenant: TenantUnderTest) -> str:
    return str(tenant.condition("DatastoreHasRoom").get("reason"))


@pytest.fixture
def busy(tenant: TenantUnderTest) -> Iterator[Administrator]:
    """Its administrator. In the end time alone has opened everything again."""
    eventually("nothing is refused", lambda: told(tenant) == "Room")
    administrator = Administrator(tenant)
    yield administrator
    eventually("large ones may be written", lambda: not administrator.create("after", LARGE))
    administrator.delete("after")
    eventually("told", lambda: told(tenant) == "Room")


def test_a_flood_of_overwrites_ends(tenant: TenantUnderTest, busy: Administrator) -> None:
    busy.create("large", LARGE)
    with flood(lambda _: busy.overwrite("large", LARGE), WRITERS) as flooding:
        eventually("it is refused", flooding.is_refused)
        eventually("told", lambda: told(tenant) in ("Slowed", "Held", "Stopped"))
        names = count()

        def only_small_ones_go() -> bool:
            small = busy.write_small(f"small-{next(names)}")
            return not small and "more than" in busy.overwrite("large", LARGE)

        eventually("small ones go where large ones do not", only_small_ones_go)
        assert flooding.is_refused()
    assert not busy.delete("large")


def test_what_only_deletions_write_ends_too(tenant: TenantUnderTest, busy: Administrator) -> None:
    """A deletion that is asked for again, in another way, writes the object again."""
    for name in ("first", "second", "third"):
        busy.create(name, 10)
    busy.create("stays", LARGEST, (FINALIZER,))
    ways = cycle(["Orphan", "Foreground"])

    def second_stage() -> bool:
        busy.delete("stays", next(ways))
        refused = busy.create("medium", 2048)
        if not refused:
            busy.delete("medium")
        return "more than 1 KiB" in refused

    # One that comes late is seen when time has brought the tenant back from the third.
    eventually("all but small objects are refused", second_stage)
    assert not busy.delete("first")
    names = count()
    eventually("small ones go", lambda: not busy.write_small(f"little-{next(names)}"))
    with flood(lambda _: busy.delete("stays", next(ways)), 1) as flooding:
        eventually("it is refused", flooding.is_refused)
        eventually("told", lambda: told(tenant) == "Stopped")
        eventually("nothing can be created", lambda: busy.create(f"more-{next(names)}", 1))
        assert not busy.delete("second"), "what is not being deleted yet can be"
        assert flooding.is_refused()
    assert not busy.free("stays"), "the last finalizer can be taken"
    assert "stays" not in busy.names()

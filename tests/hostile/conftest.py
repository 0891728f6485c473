"""One system for all attacks: mallory attacks, alice must not notice, the super cluster neither."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from tests.hostile.bystander import alice_works, others_objects, phase_is


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They need what the e2e tests need."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def local() -> Iterator[LocalSystem]:
    """A fresh system. What a killed run left behind is removed first."""
    system = LocalSystem(Path(tempfile.gettempdir()) / "virtualcluster-hostile")
    system.purge()
    system.vc("up", "--cpu-nodes", "2", "--gpu-nodes", "1", "--pod-start-delay", "0.2")
    try:
        yield system
    finally:
        system.purge()


@pytest.fixture(scope="session")
def alice(local: LocalSystem) -> TenantCluster:
    """The tenant beside. What its pods share is down for good: one of them stays."""
    tenant = local.create_tenant("alice")
    tenant.apply(pod("resident"))
    wait_for("it runs", partial(phase_is, tenant, "resident", "Running"))
    # As long as her DNS starts, her endpoints below change by themselves, and not by an attack.
    wait_for("her DNS is served", partial(dns_is_served, local, tenant))
    return tenant


def dns_is_served(local: LocalSystem, tenant: TenantCluster) -> bool:
    """Whether the super cluster knows that all pods of the tenant's DNS are ready."""
    namespace = tenant.super_namespace("kube-system")
    selector = "kubernetes.io/service-name=kube-dns"
    slices = local.super.items("endpointslices", "-n", namespace, "-l", selector)
    ends = [end for one in slices for end in one.get("endpoints") or ()]
    wanted = (tenant.get("deployment", "coredns", "kube-system") or {}).get("spec", {})
    ready = [end for end in ends if end["conditions"].get("ready")]
    return bool(len(ready) == len(ends) == wanted.get("replicas"))


@pytest.fixture(scope="session")
def mallory(local: LocalSystem, alice: TenantCluster) -> TenantCluster:
    """The tenant whose administrator attacks."""
    return local.create_tenant("mallory")


@pytest.fixture(autouse=True)
def nothing_beyond_the_tenant(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> Iterator[None]:
    """After each attack all objects that are not mallory's are as before."""
    before: dict[str, Object] = others_objects(local.super, mallory)
    yield
    after = others_objects(local.super, mallory)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    assert not changed, f"changed in the super cluster: {sorted(changed)}"


@pytest.fixture(autouse=True, scope="module")
def alice_goes_on(alice: TenantCluster) -> Iterator[None]:
    """After all of them her pods still run."""
    yield
    alice_works(alice)

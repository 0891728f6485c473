"""Devices by claim (Dynamic Resource Allocation), allocated by the real scheduler of the super cluster."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.devices import (
    CLAIMS,
    CLASS,
    COUNTED,
    DEVICES,
    DRIVER,
    LARGE,
    NODE,
    RESOURCE,
    TEMPLATE,
    asking,
    claim,
    claiming,
    container,
    device_class,
    resource_slice,
)
from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, job, pod
from tests.e2e.test_options import PUBLIC, told
from vcluster import api


def running(tenant: TenantCluster, selector: str, count: int) -> list[Object]:
    """Wait for pods that run; no other has the label."""

    def all_run() -> list[Object] | None:
        pods = tenant.items("pods", "-l", selector)
        return pods if [one["status"]["phase"] for one in pods] == ["Running"] * count else None

    return wait_for(f"{count} pods run ({selector})", all_run)


def runs(tenant: TenantCluster, name: str) -> Object:
    """Wait for one pod that runs."""

    def found() -> Object | None:
        one = tenant.get("pod", name)
        return one if one and one["status"]["phase"] == "Running" else None

    return wait_for(f"pod {name} runs", found)


def reserved(tenant: TenantCluster, name: str, pods: list[Object]) -> Object:
    """Wait until the tenant's claim shows an allocation for just these pods of the tenant's."""
    wanted = {one["metadata"]["uid"] for one in pods}

    def shown() -> Object | None:
        status: Object = (tenant.get("resourceclaim", name) or {}).get("status") or {}
        uids = {one["uid"] for one in status.get("reservedFor") or ()}
        return status if status.get("allocation") and uids == wanted else None

    return wait_for(f"claim {name} is reserved for {sorted(wanted)}", shown)


def said_of(tenant: TenantCluster, name: str) -> Object:
    """What its driver says of the one device of a claim."""
    status: Object = (tenant.get("resourceclaim", name) or {}).get("status") or {}
    [said] = status.get("devices") or [{}]
    return dict(said)


def device_of(status: Object) -> str:
    [result] = status["allocation"]["devices"]["results"]
    assert (result["driver"], result["pool"]) == (DRIVER, NODE)
    return str(result["device"])


def allocated(provider: Cluster) -> list[Object]:
    """The claims of the super cluster that hold devices."""
    claims = provider.items("resourceclaims", "-A")
    return [one for one in claims if (one.get("status") or {}).get("allocation")]


def has_no_claims(tenant: TenantCluster) -> bool:
    return not tenant.items("resourceclaims")


def all_free(provider: Cluster) -> None:
    wait_for("all devices are free again", lambda: not allocated(provider))


@pytest.fixture(scope="module")
def provider(local: LocalSystem) -> Iterator[Cluster]:
    """The super cluster, with devices on one of its nodes."""
    provider = local.super
    provider.apply(
        CLASS, device_class("gpu", RESOURCE, **PUBLIC), device_class("own"), resource_slice(NODE)
    )
    yield provider
    provider.kubectl("delete", "resourceslice", resource_slice(NODE)["metadata"]["name"])
    provider.kubectl("delete", "deviceclass", "gpu", "own")
    provider.kubectl("delete", "virtualclusterclass", "devices")


@pytest.fixture(scope="module")
def tenants(local: LocalSystem, provider: Cluster) -> Iterator[list[TenantCluster]]:
    """Two tenants of the class."""
    names = ("devices-a", "devices-b")
    for name in names:
        local.vc("create", name, "--class", "devices", "--no-wait")
    yield [local.create_tenant(name, "--class", "devices") for name in names]
    for name in names:
        local.vc("delete", name)


@pytest.fixture
def tenant(tenants: list[TenantCluster]) -> TenantCluster:
    return tenants[0]


def test_what_there_is_to_claim_is_shown_and_put_back(
    provider: Cluster, tenant: TenantCluster
) -> None:
    name = resource_slice(NODE)["metadata"]["name"]
    wait_for("the class is shown", partial(tenant.get, "deviceclass", "gpu"))
    above = wait_for("the devices are shown", partial(tenant.get, "resourceslice", name))
    below = provider.get("resourceslice", name) or {}
    assert above["spec"] == below["spec"]
    assert tenant.get("deviceclass", "own") is None
    tenant.kubectl(
        "patch", "resourceslice", name, "--type=merge", "-p", '{"spec":{"devices":[{"name":"x"}]}}'
    )
    wait_for(
        "the devices are put back",
        lambda: (tenant.get("resourceslice", name) or {}).get("spec") == below["spec"],
    )
    tenant.kubectl("delete", "deviceclass", "gpu")
    wait_for("the class is put back", partial(tenant.get, "deviceclass", "gpu"))


def test_pods_of_templates_in_two_tenants_with_equal_names(
    provider: Cluster, tenants: list[TenantCluster]
) -> None:
    used = set()
    for tenant in tenants:
        web = deployment("train", 2, resourceClaims=CLAIMS, containers=[container()])
        tenant.apply(TEMPLATE, web)
    for tenant in tenants:
        for one in running(tenant, "app=train", 2):
            [named] = one["status"]["resourceClaimStatuses"]
            used.add(device_of(reserved(tenant, named["resourceClaimName"], [one])))
            below = provider.get("pod", one["metadata"]["name"], tenant.super_namespace()) or {}
            [claimed] = below["spec"]["resourceClaims"]
            assert claimed == {"name": "gpu", "resourceClaimName": named["resourceClaimName"]}
            assert below["spec"]["nodeName"] == one["spec"]["nodeName"] == NODE
    assert len(used) == DEVICES
    for tenant in tenants:
        tenant.kubectl("delete", "deployment", "train")
    for tenant in tenants:
        wait_for("its claims are gone", partial(has_no_claims, tenant))
    all_free(provider)


def test_a_job_gives_its_device_back_when_it_is_done(
    provider: Cluster, tenant: TenantCluster
) -> None:
    annotations = {"simulation.virtualcluster.dev/run-seconds": "1"}
    tenant.apply(
        TEMPLATE, job("once", 2, annotations, resourceClaims=CLAIMS, containers=[container()])
    )
    tenant.kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=120s")
    wait_for("its claims are gone above", partial(has_no_claims, tenant))
    all_free(provider)
    namespace = tenant.super_namespace()
    wait_for("and below", lambda: not provider.items("resourceclaims", "-n", namespace))
    tenant.kubectl("delete", "job", "once")


def test_one_claim_shared_by_pods(provider: Cluster, tenant: TenantCluster) -> None:
    tenant.apply(claim("shared"), *(claiming(f"reader-{number}", "shared") for number in range(3)))
    pods = [runs(tenant, f"reader-{number}") for number in range(3)]
    status = reserved(tenant, "shared", pods)
    said = {"driver": DRIVER, "pool": NODE, "device": device_of(status), "data": {"healthy": True}}
    namespace = tenant.super_namespace()
    provider.kubectl(
        "patch", "resourceclaim", "shared", "-n", namespace, "--subresource=status",
        "--type=merge", "-p", json.dumps({"status": {"devices": [said]}}),
    )  # fmt: skip
    wait_for(
        "what the driver says is up",
        lambda: said_of(tenant, "shared").get("data") == said["data"],
    )
    tenant.kubectl("delete", "pod", "reader-0")
    reserved(tenant, "shared", pods[1:])
    tenant.kubectl("delete", "pod", "reader-1", "reader-2")
    wait_for(
        "the claim shows that it holds nothing",
        lambda: not (tenant.get("resourceclaim", "shared") or {}).get("status"),
    )
    wait_for(
        "and is no longer protected",
        lambda: "finalizers" not in (tenant.get("resourceclaim", "shared") or {})["metadata"],
    )
    all_free(provider)
    tenant.apply(claiming("later", "shared"))
    reserved(tenant, "shared", [runs(tenant, "later")])
    tenant.kubectl("delete", "resourceclaim", "shared", "--wait=false")
    above = tenant.get("resourceclaim", "shared") or {}
    assert above["metadata"]["deletionTimestamp"], "it stays while a pod uses it"
    runs(tenant, "later")
    tenant.kubectl("delete", "pod", "later")
    wait_for("it is gone with its last pod", partial(has_no_claims, tenant))
    wait_for("and below", lambda: not provider.items("resourceclaims", "-n", namespace))


def test_the_best_that_there_is_by_expression_and_by_list(
    provider: Cluster, tenants: list[TenantCluster]
) -> None:
    """Both tenants want the one large device; one of them would take another as well."""
    large = f"device.capacity['{DRIVER}'].memory.compareTo(quantity('{LARGE}')) >= 0"
    selectors = [{"cel": {"expression": large}}]
    either = [
        {"name": "large", "deviceClassName": "gpu", "selectors": selectors},
        {"name": "any", "deviceClassName": "gpu"},
    ]
    choosy, easy = tenants
    choosy.apply(claim("best", asking(selectors=selectors)), claiming("best", "best"))
    status = reserved(choosy, "best", [runs(choosy, "best")])
    assert device_of(status) == f"device-{DEVICES - 1}"
    spec: Object = {"devices": {"requests": [{"name": "gpu", "firstAvailable": either}]}}
    easy.apply(claim("best", spec), claiming("best", "best"))
    [result] = reserved(easy, "best", [runs(easy, "best")])["allocation"]["devices"]["results"]
    assert result["request"] == "gpu/any"
    for tenant in tenants:
        tenant.kubectl("delete", "pod/best", "resourceclaim/best")
    all_free(provider)


def test_a_device_by_the_name_of_a_resource(provider: Cluster, tenant: TenantCluster) -> None:
    """The super cluster's scheduler makes a claim of its own, of which the tenant sees nothing."""
    names = (RESOURCE, "deviceclass.resource.kubernetes.io/gpu")
    for number, name in enumerate(names):
        limits = {"name": "main", "image": "demo", "resources": {"limits": {name: 1}}}
        tenant.apply(pod(f"by-name-{number}", containers=[limits]))
    for number in range(len(names)):
        shown = runs(tenant, f"by-name-{number}")
        below = provider.get("pod", f"by-name-{number}", tenant.super_namespace()) or {}
        assert below["status"]["extendedResourceClaimStatus"]["resourceClaimName"]
        assert "extendedResourceClaimStatus" not in shown["status"]
    assert len(allocated(provider)) == len(names)
    assert has_no_claims(tenant)
    private = {"name": "main", "image": "demo"} | {
        "resources": {"limits": {"deviceclass.resource.kubernetes.io/own": 1}}
    }
    tenant.apply(pod("by-private-name", containers=[private]))
    assert "'own' is not offered here; offered: gpu" in told(
        tenant, "by-private-name", "NotOffered"
    )
    tenant.kubectl("delete", "pod", "by-name-0", "by-name-1", "by-private-name")
    all_free(provider)


def test_a_class_that_is_not_offered_until_it_is(provider: Cluster, tenant: TenantCluster) -> None:
    tenant.apply(claim("private", asking("own")), claiming("patient", "private"))
    assert "'own' is not offered here; offered: gpu" in told(tenant, "private", "NotOffered")
    assert provider.get("resourceclaim", "private", tenant.super_namespace()) is None
    provider.kubectl("label", "deviceclass", "own", f"{api.PUBLIC_LABEL}=true")
    runs(tenant, "patient")
    provider.kubectl("label", "deviceclass", "own", f"{api.PUBLIC_LABEL}-")
    tenant.kubectl("delete", "pod/patient", "resourceclaim/private")
    wait_for("the class is shown no more", lambda: tenant.get("deviceclass", "own") is None)


def test_a_quota_counts_devices_until_it_is_raised(
    provider: Cluster, tenant: TenantCluster
) -> None:
    def limit(count: str | None) -> None:
        quota = {"hard": {COUNTED: count}} if count else None
        change = json.dumps({"spec": {"quota": quota}})
        provider.kubectl(
            "patch", "virtualcluster", tenant.name, "-n", "tenants", "--type=merge", "-p", change
        )

    def counts(count: str) -> bool:
        found = provider.get("virtualcluster", tenant.name, "tenants") or {}
        used = found["status"].get("quota", {}).get("used", {})
        return bool(used.get(COUNTED) == count)

    limit("2")
    wait_for("the quota is known", partial(counts, "0"))
    two = asking(count=2)
    tenant.apply(claim("first"), claim("second", two), claiming("first", "first"))
    runs(tenant, "first")
    tenant.apply(claiming("second", "second"))
    message = told(tenant, "second", "QuotaExceeded")
    assert f"{COUNTED}: 1 used, 2 wanted, 2 allowed" in message
    tenant.apply(claim("everything", asking(allocationMode="All")))
    assert "use ExactCount" in told(tenant, "everything", "QuotaExceeded")
    namespace = tenant.super_namespace()
    below = [one["metadata"]["name"] for one in provider.items("resourceclaims", "-n", namespace)]
    assert below == ["first"]
    limit("3")
    runs(tenant, "second")
    wait_for("both are counted", partial(counts, "3"))
    limit(None)
    tenant.kubectl("delete", "pod", "first", "second")
    tenant.kubectl("delete", "resourceclaim", "first", "second", "everything")
    all_free(provider)


def test_access_to_devices_of_others_is_refused(provider: Cluster, tenant: TenantCluster) -> None:
    """The tenant gives its namespace the label that an API server asks for."""
    label = "resource.kubernetes.io/admin-access=true"
    tenant.kubectl("label", "namespace", "default", label)
    tenant.apply(claim("spy", asking(adminAccess=True)), claiming("spy", "spy"))
    assert "adminAccess" in told(tenant, "spy", "NotAllowed")
    below = provider.get("namespace", tenant.super_namespace()) or {}
    assert label.partition("=")[0] not in below["metadata"]["labels"]
    assert provider.get("resourceclaim", "spy", tenant.super_namespace()) is None
    parameters = {"opaque": {"driver": DRIVER, "parameters": {"run": "this"}}}
    spec = asking()
    spec["devices"]["config"] = [parameters]
    tenant.apply(claim("led", spec))
    assert f"'{DRIVER}' may not be given parameters" in told(tenant, "led", "NotAllowed")
    tenant.kubectl("delete", "pod/spy", "resourceclaim/spy", "resourceclaim/led")


def test_a_claim_that_says_to_be_anothers_is_the_tenants_own_again(
    provider: Cluster, tenants: list[TenantCluster]
) -> None:
    alice, mallory = tenants
    alice.apply(claim("data"), claiming("worker", "data"))
    worker = runs(alice, "worker")
    reserved(alice, "data", [worker])
    mallory.apply(claim("data"), claiming("worker", "data"))
    own = runs(mallory, "worker")
    reserved(mallory, "data", [own])
    theirs = {"resource": "pods", "name": "worker", "uid": worker["metadata"]["uid"]}
    change = json.dumps({"status": {"reservedFor": [theirs]}})
    mallory.kubectl(
        "patch", "resourceclaim", "data", "--subresource=status", "--type=merge", "-p", change
    )
    reserved(mallory, "data", [own])
    reserved(alice, "data", [worker])
    below = provider.get("resourceclaim", "data", alice.super_namespace()) or {}
    super_pod = provider.get("pod", "worker", alice.super_namespace()) or {}
    uids = [one["uid"] for one in below["status"]["reservedFor"]]
    assert uids == [super_pod["metadata"]["uid"]]
    for tenant in tenants:
        tenant.kubectl("delete", "pod/worker", "resourceclaim/data")
    all_free(provider)

"""What tenants run: it works as on a cluster of their own."""

from functools import partial

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, job, pod, service

RUN_SECONDS = "simulation.virtualcluster.dev/run-seconds"
EXIT_CODE = "simulation.virtualcluster.dev/exit-code"


def running(tenant: TenantCluster, app: str, namespace: str = "default") -> list[Object]:
    """The pods of an app that run and are not on their way out."""
    return [
        item
        for item in tenant.items("pods", "-n", namespace, "-l", f"app={app}")
        if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]
    ]


def has_running(tenant: TenantCluster, app: str, count: int) -> bool:
    """So many pods of an app run."""
    return len(running(tenant, app)) == count


def test_the_same_names_in_two_tenants_do_not_collide(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    for tenant in (team_a, team_b):
        tenant.apply(deployment("web"), service("web"))
    for tenant in (team_a, team_b):
        wait_for("two pods run", partial(has_running, tenant, "web", 2))
        address = (tenant.get("service", "web") or {})["spec"]["clusterIP"]
        mirror = wait_for(
            "the service is in the super cluster",
            partial(local.super.get, "service", "web", tenant.super_namespace()),
        )
        assert mirror["spec"]["clusterIP"] == address, "one address on both sides"
    assert team_a.super_namespace() != team_b.super_namespace()


def test_a_rollout_replaces_the_pods(team_a: TenantCluster) -> None:
    team_a.apply(deployment("rolling"))
    team_a.kubectl("rollout", "status", "deployment/rolling", "--timeout=150s")
    team_a.kubectl("set", "image", "deployment/rolling", "main=demo:2")
    team_a.kubectl("rollout", "status", "deployment/rolling", "--timeout=150s")
    images = {item["spec"]["containers"][0]["image"] for item in running(team_a, "rolling")}
    assert images == {"demo:2"}
    team_a.kubectl("delete", "deployment", "rolling")
    wait_for("no pod is left", lambda: not team_a.items("pods", "-l", "app=rolling"))


def test_a_training_job_on_gpus_completes(local: LocalSystem, team_b: TenantCluster) -> None:
    gpu = [{"name": "main", "image": "demo", "resources": {"limits": {"nvidia.com/gpu": 1}}}]
    team_b.apply(
        service("train", clusterIP="None"),
        job("train", 4, {RUN_SECONDS: "1"}, subdomain="train", containers=gpu),
    )
    mirrors = wait_for(
        "four super pods",
        lambda: (
            pods
            if len(
                pods := local.super.items(
                    "pods", "-n", team_b.super_namespace(), "-l", "job-name=train"
                )
            )
            == 4
            else None
        ),
    )
    assert {mirror["spec"]["subdomain"] for mirror in mirrors} == {"train"}
    team_b.kubectl("wait", "--for=condition=complete", "job/train", "--timeout=150s")
    nodes = {item["spec"]["nodeName"] for item in team_b.items("pods", "-l", "job-name=train")}
    assert all(name.startswith("gpu-") for name in nodes)
    team_b.kubectl("delete", "job/train", "service/train")


def test_a_job_whose_pod_fails_fails(team_a: TenantCluster) -> None:
    team_a.apply(job("broken", 1, {RUN_SECONDS: "1", EXIT_CODE: "7"}))
    team_a.kubectl("wait", "--for=condition=failed", "job/broken", "--timeout=150s")
    (failed,) = team_a.items("pods", "-l", "job-name=broken")
    state = failed["status"]["containerStatuses"][0]["state"]
    assert state["terminated"]["exitCode"] == 7
    team_a.kubectl("delete", "job/broken")


def test_a_pod_waits_for_its_secret_and_says_so(local: LocalSystem, team_a: TenantCluster) -> None:
    container = {"name": "main", "image": "demo", "envFrom": [{"secretRef": {"name": "later"}}]}
    team_a.apply(pod("patient", containers=[container]))
    wait_for(
        "the tenant is told",
        lambda: any("'later' not found" in event["message"] for event in team_a.events("patient")),
    )
    team_a.apply(pod("hasty"))
    team_a.kubectl("wait", "--for=condition=Ready", "pod/hasty", "--timeout=150s")
    team_a.kubectl("create", "secret", "generic", "later", "--from-literal=a=b")
    team_a.kubectl("wait", "--for=condition=Ready", "pod/patient", "--timeout=150s")
    namespace = team_a.super_namespace()
    assert local.super.get("secret", "later", namespace) is not None
    team_a.kubectl("create", "secret", "generic", "unused", "--from-literal=a=b")
    team_a.kubectl("delete", "pod", "patient", "hasty")
    wait_for("a secret nobody uses goes", lambda: not local.super.get("secret", "later", namespace))
    assert local.super.get("secret", "unused", namespace) is None
    team_a.kubectl("delete", "secret", "later", "unused")


def test_the_pull_secrets_of_pod_and_service_account_go_down(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    for name in ("of-the-account", "of-the-pod"):
        team_a.kubectl(
            "create", "secret", "docker-registry", name,
            "--docker-server=registry.example.com", "--docker-username=u", "--docker-password=p",
        )  # fmt: skip
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "puller"},
        "imagePullSecrets": [{"name": "of-the-account"}],
    }
    own = pod("own-pull", imagePullSecrets=[{"name": "of-the-pod"}])
    team_a.apply(account)
    team_a.apply(own, pod("account-pull", serviceAccountName="puller"))
    namespace = team_a.super_namespace()
    for name, secret in (("own-pull", "of-the-pod"), ("account-pull", "of-the-account")):
        team_a.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=150s")
        below = local.super.get("pod", name, namespace) or {}
        assert below["spec"]["imagePullSecrets"] == [{"name": secret}]
        found = local.super.get("secret", secret, namespace) or {}
        assert found["type"] == "kubernetes.io/dockerconfigjson"
    team_a.kubectl("delete", "pod", "own-pull", "account-pull")
    team_a.kubectl("delete", "secret", "of-the-pod", "of-the-account")


def test_endpoints_of_a_service_without_selector_go_down(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    outside = service("outside")
    del outside["spec"]["selector"]
    endpoint_slice = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "outside-1", "labels": {"kubernetes.io/service-name": "outside"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["203.0.113.7"]}],
        "ports": [{"port": 5432}],
    }
    team_a.apply(outside, endpoint_slice)
    namespace = team_a.super_namespace()
    below = wait_for(
        "the slice is down", partial(local.super.get, "endpointslice", "outside-1", namespace)
    )
    assert below["endpoints"][0]["addresses"] == ["203.0.113.7"]
    assert below["metadata"]["labels"]["kubernetes.io/service-name"] == "outside"
    team_a.kubectl("delete", "service/outside", "endpointslice/outside-1")
    wait_for("it is gone", lambda: not local.super.get("endpointslice", "outside-1", namespace))


def test_what_may_change_on_a_pod_changes_below(local: LocalSystem, team_a: TenantCluster) -> None:
    container = {"name": "main", "image": "one", "resources": {"requests": {"cpu": "100m"}}}
    team_a.apply(pod("changing", containers=[container]))
    team_a.kubectl("wait", "--for=condition=Ready", "pod/changing", "--timeout=150s")
    team_a.kubectl("label", "pod", "changing", "color=blue")
    team_a.kubectl("set", "image", "pod/changing", "main=two")
    resize = '{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"200m"}}}]}}'
    team_a.kubectl("patch", "pod", "changing", "--subresource=resize", "-p", resize)
    team_a.kubectl("debug", "changing", "--image=busybox", "--profile=baseline", "-c", "debugger")
    kept = (team_a.get("pod", "changing") or {})["spec"]["tolerations"]
    patch = f'[{{"op":"add","path":"/spec/tolerations/{len(kept)}",'
    patch += '"value":{"key":"extra","operator":"Exists"}}]'
    team_a.kubectl("patch", "pod", "changing", "--type=json", "-p", patch)

    def shown() -> bool:
        mirror = local.super.get("pod", "changing", team_a.super_namespace())
        assert mirror is not None
        main, spec = mirror["spec"]["containers"][0], mirror["spec"]
        return bool(
            mirror["metadata"]["labels"].get("color") == "blue"
            and main["image"] == "two"
            and main["resources"]["requests"]["cpu"] == "200m"
            and [item["name"] for item in spec.get("ephemeralContainers", ())] == ["debugger"]
            and any(item.get("key") == "extra" for item in spec["tolerations"])
        )

    wait_for("all changes are below", shown)
    team_a.kubectl("label", "pod", "changing", "color-")
    wait_for(
        "a removed label goes",
        lambda: (
            "color"
            not in (local.super.get("pod", "changing", team_a.super_namespace()) or {})["metadata"][
                "labels"
            ]
        ),
    )
    team_a.kubectl("delete", "pod", "changing")


def test_a_gated_pod_is_not_scheduled_until_its_gate_goes(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    wait_for(
        "it shows that it is gated",
        lambda: any(
            condition.get("reason") == "SchedulingGated"
            for condition in (team_a.get("pod", "gated") or {})["status"].get("conditions", ())
        ),
    )
    assert "nodeName" not in (team_a.get("pod", "gated") or {})["spec"]
    team_a.kubectl("patch", "pod", "gated", "-p", '{"spec":{"schedulingGates":null}}')
    team_a.kubectl("wait", "--for=condition=Ready", "pod/gated", "--timeout=150s")
    team_a.kubectl("delete", "pod", "gated")


def test_a_pod_that_no_node_fits_says_why(team_a: TenantCluster) -> None:
    team_a.apply(pod("homeless", nodeSelector={"no": "such"}))
    message = wait_for(
        "the scheduler's message is on the tenant's pod",
        lambda: next(
            (
                condition["message"]
                for condition in (team_a.get("pod", "homeless") or {})["status"].get(
                    "conditions", ()
                )
                if condition.get("reason") == "Unschedulable"
            ),
            None,
        ),
    )
    assert "nodes are available" in message
    team_a.kubectl("delete", "pod", "homeless")


def test_a_pod_that_names_its_node_runs_there(team_a: TenantCluster) -> None:
    team_a.apply(pod("placed", nodeName="cpu-2"))
    team_a.kubectl("wait", "--for=condition=Ready", "pod/placed", "--timeout=150s")
    found = team_a.get("pod", "placed")
    assert found is not None
    assert found["spec"]["nodeName"] == "cpu-2"
    assert found["status"]["podIP"]
    team_a.kubectl("delete", "pod", "placed")


def test_a_pod_evicted_below_is_replaced_by_its_owner(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(deployment("sturdy", replicas=1))
    (before,) = wait_for("it runs", lambda: running(team_a, "sturdy"))
    name = before["metadata"]["name"]
    local.super.kubectl(
        "delete", "pod", name, "-n", team_a.super_namespace(), "--grace-period=0", "--force"
    )
    after = wait_for(
        "another pod runs in its place",
        lambda: [item for item in running(team_a, "sturdy") if item["metadata"]["name"] != name],
    )
    assert after
    wait_for("the evicted one is gone", lambda: team_a.get("pod", name) is None)
    team_a.kubectl("delete", "deployment", "sturdy")


def test_deleting_many_pods_leaves_none_terminating(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(*(pod(f"many-{number}") for number in range(30)))
    wait_for(
        "they run",
        lambda: (
            sum(
                item["status"]["phase"] == "Running"
                for item in team_a.items("pods")
                if item["metadata"]["name"].startswith("many-")
            )
            == 30
        ),
    )
    team_a.kubectl("delete", "pod", *(f"many-{number}" for number in range(30)), "--wait=false")

    def left(cluster_pods: list[Object]) -> list[str]:
        names = [item["metadata"]["name"] for item in cluster_pods]
        return [name for name in names if name.startswith("many-")]

    wait_for("none is left", lambda: not left(team_a.items("pods")))
    assert not left(local.super.items("pods", "-n", team_a.super_namespace()))
    wait_for(
        "their tokens are gone",
        lambda: (
            not [
                secret
                for secret in local.super.items("secrets", "-n", team_a.super_namespace())
                if secret["metadata"]["annotations"]
                .get("virtualcluster.dev/name", "")
                .startswith("many-")
            ]
        ),
    )


def test_a_namespace_goes_with_all_that_is_in_it(local: LocalSystem, team_a: TenantCluster) -> None:
    team_a.kubectl("create", "namespace", "short-lived")
    team_a.kubectl("create", "deployment", "web", "--image=demo", "-n", "short-lived")
    wait_for("it runs", lambda: running(team_a, "web", "short-lived"))
    team_a.kubectl("delete", "namespace", "short-lived", "--timeout=150s")
    wait_for(
        "the super namespace is gone",
        lambda: local.super.get("namespace", team_a.super_namespace("short-lived"), "") is None,
    )


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_the_super_cluster_chooses_the_node_port(
    local: LocalSystem, team_a: TenantCluster, kind: str
) -> None:
    name = f"ported-{kind.lower()}"
    team_a.apply(service(name, type=kind))

    def same() -> bool:
        mirror = local.super.get("service", name, team_a.super_namespace())
        own = team_a.get("service", name)
        return bool(
            mirror
            and own
            and mirror["spec"]["ports"][0]["nodePort"] == own["spec"]["ports"][0]["nodePort"]
        )

    wait_for("one node port on both sides", same)
    if kind == "LoadBalancer":
        status = '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7","ipMode":"VIP"}]}}}'
        local.super.kubectl(
            "patch", "service", name, "-n", team_a.super_namespace(), "--subresource=status",
            "--type=merge", "-p", status,
        )  # fmt: skip
        wait_for(
            "the balancer's address goes up",
            lambda: (
                (team_a.get("service", name) or {})["status"]
                .get("loadBalancer", {})
                .get("ingress", [{}])[0]
                .get("ip")
                == "192.0.2.7"
            ),
        )
    team_a.kubectl("delete", "service", name)
    wait_for(
        "its mirror goes",
        lambda: local.super.get("service", name, team_a.super_namespace()) is None,
    )

"""A tenant's API server calls into the tenant: webhooks, an extension API, metrics, and only there."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e_real import hooks
from tests.e2e_real.containers import container_pod, is_ready, web_pod

SERVICE: Object = {"name": "hook", "namespace": "default"}
GOOD, BAD = "a-good-one", "forbidden"
KINDS = (
    "pod,service,secret,configmap,serviceaccount,clusterrole,clusterrolebinding,"
    "validatingwebhookconfiguration,mutatingwebhookconfiguration"
)


@pytest.fixture(scope="module")
def hook(
    local: LocalSystem, team_a: TenantCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TenantCluster]:
    """team-a with a pod that serves webhooks and an extension API, both behind one Service."""
    hooks.load_image(local, tmp_path_factory.mktemp("hook"))
    authentication = "extension-apiserver-authentication"
    told = wait_for(
        "the API server has published its front proxy's authority",
        partial(team_a.get, "configmap", authentication, "kube-system"),
    )
    team_a.apply(hooks.SERVICE)
    address = (team_a.get("service", "hook") or {})["spec"]["clusterIP"]
    team_a.apply(*hooks.server(address, told["data"]["requestheader-client-ca-file"]))
    wait_for("the hook is ready", lambda: is_ready(team_a, "hook"))
    yield team_a
    team_a.kubectl("delete", "apiservice", "v1beta1.metrics.k8s.io", "--ignore-not-found")
    team_a.kubectl("delete", KINDS, "hook", "--ignore-not-found", "--wait=false")


def created(tenant: TenantCluster, value: str) -> str:
    """What comes of a config map that the webhook is asked about: the object, or the error."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "asked", "labels": {"hook": "yes"}},
        "data": {"value": value},
    }
    arguments = ("create", "--dry-run=server", "-o", "json", "-f", "-")
    return tenant.kubectl(*arguments, stdin=json.dumps(manifest), check=False)


@pytest.mark.parametrize("way", ["service", "name", "address"])
def test_a_validating_webhook(hook: TenantCluster, way: str) -> None:
    address = (hook.get("service", "hook") or {})["spec"]["clusterIP"]
    clients: dict[str, Object] = {
        "service": {"service": SERVICE | {"path": "/validate"}},
        "name": {"url": "https://hook.default.svc/validate"},
        "address": {"url": f"https://{address}/validate"},
    }
    hook.apply(hooks.webhook("ValidatingWebhookConfiguration", **clients[way]))
    wait_for("it is asked", lambda: "the hook says no" in created(hook, BAD))
    assert "forbidden" not in created(hook, GOOD)
    hook.kubectl("delete", "validatingwebhookconfiguration", "hook")


def test_a_mutating_webhook(hook: TenantCluster) -> None:
    client = {"service": SERVICE | {"path": "/mutate"}}
    hook.apply(hooks.webhook("MutatingWebhookConfiguration", **client))
    wait_for("it is asked", lambda: '"mutated": "yes"' in created(hook, GOOD))
    hook.kubectl("delete", "mutatingwebhookconfiguration", "hook")


def test_a_conversion_webhook(hook: TenantCluster) -> None:
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "schema": {
                "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": True
                }
            },
        }
        for name in ("v1", "v2")
    ]  # fmt: skip
    client = {"caBundle": hooks.BUNDLE, "service": SERVICE | {"path": "/convert"}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "turns.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Turn", "plural": "turns"},
            "scope": "Namespaced",
            "versions": versions,
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]},
            },
        },
    }
    hook.apply(definition)
    hook.kubectl("wait", "--for=condition=Established", "crd/turns.example.com", "--timeout=150s")
    turn = {"apiVersion": "example.com/v1", "kind": "Turn", "metadata": {"name": "t"}, "size": 3}
    wait_for("it is served", lambda: hook.run("create", "-f", "-", stdin=json.dumps(turn)).stdout)
    path = "/apis/example.com/v2/namespaces/default/turns/t"
    raw = wait_for("it is converted", lambda: hook.run("get", "--raw", path).stdout)
    assert json.loads(raw)["apiVersion"] == "example.com/v2"
    assert json.loads(raw)["size"] == 3
    hook.kubectl("delete", "crd", "turns.example.com", "--wait=false")


def an_extension(**spec: object) -> Object:
    """metrics.k8s.io, served by the hook."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": SERVICE | {"port": 444},
            "caBundle": hooks.BUNDLE,
        }
        | spec,
    }


def test_an_extension_api_feeds_top_and_autoscaling(hook: TenantCluster) -> None:
    """With what the node agents tell the hook's service account; the API server shows its front-proxy
    certificate, without which the hook would not answer."""
    scaled = container_pod("scaled", "exec sleep 100000", "real-0", terminationGracePeriodSeconds=0)
    scaled["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "10m"}}
    hook.apply(
        an_extension(),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "scaled"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "scaled"}},
                "template": {"metadata": {"labels": {"app": "scaled"}}, "spec": scaled["spec"]},
            },
        },
    )
    arguments = ("--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io")
    hook.kubectl("wait", *arguments, "--timeout=150s")
    wait_for("top knows the hook", lambda: "hook" in hook.run("top", "pods").stdout)
    wait_for("top knows the node", lambda: "\nreal-0" in hook.run("top", "nodes").stdout)
    hook.kubectl("autoscale", "deployment", "scaled", "--min=1", "--max=2", "--cpu=50%")
    wait_for("it is scaled", partial(_replicas, hook, "scaled", 2), 240)
    hook.kubectl("delete", "hpa,deployment", "scaled", "--wait=false")


def _replicas(tenant: TenantCluster, name: str, number: int) -> bool:
    found = tenant.get("deployment", name) or {}
    return bool(found.get("spec", {}).get("replicas", 0) >= number)


def _stolen(address: str) -> list[Object]:
    """A Service with one endpoint, said to be that of the pod ``hook``."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "stolen"},
            "spec": {"ports": [{"port": 8080}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "stolen", "labels": {"kubernetes.io/service-name": "stolen"}},
            "addressType": "IPv4",
            "ports": [{"port": 8080}],
            "endpoints": [
                {
                    "addresses": [address],
                    # Else the API server itself refuses: it is no pod of the namespace.
                    "targetRef": {"kind": "Pod", "name": "hook", "namespace": "default"},
                }
            ],
        },
    ]


def test_another_tenants_pod_is_reached_in_no_way(
    hook: TenantCluster, team_b: TenantCluster
) -> None:
    """team-a publishes the address of team-b's pod, as that of a pod and of an endpoint of its own."""
    team_b.apply(web_pod("private", "real-0"))
    found = wait_for("team-b's pod is ready", lambda: is_ready(team_b, "private"))
    own = "/api/v1/namespaces/default/pods/private:8080/proxy/"
    wait_for("she is led to it herself", lambda: "hello" in team_b.run("get", "--raw", own).stdout)
    address = found["status"]["podIP"]
    hook.apply(*_stolen(address))
    cluster_ip = (hook.get("service", "stolen") or {})["spec"]["clusterIP"]
    root = "/api/v1/namespaces/default"
    for path in (f"{root}/pods/hook:8080/proxy/", f"{root}/services/stolen:8080/proxy/"):
        refusal = f"while dialing {address}:8080, code 403"
        answer = wait_for("an answer", partial(_proxied, hook, path, address))
        assert refusal in answer, answer
    for host in (address, cluster_ip, "stolen.default.svc"):
        url = f"https://{host}:8080/"
        hook.apply(hooks.webhook("ValidatingWebhookConfiguration", url=url))
        wait_for("it is refused", partial(_refused, hook, host))
    hook.kubectl("delete", "validatingwebhookconfiguration", "hook")
    hook.kubectl("delete", "service,endpointslice", "stolen")
    team_b.kubectl("delete", "pod", "private", "--wait=false")


def _proxied(tenant: TenantCluster, path: str, address: str) -> str | None:
    """What the proxy of the API server says while the pod ``hook`` is said to have the address.

    None if it does not know the endpoints yet, or if the syncer has put the pod's own address back.
    """
    status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    forge = ("patch", "pod", "hook", "--subresource=status", "--type=merge", "-p")
    tenant.kubectl(*forge, json.dumps(status))
    answer = tenant.kubectl("get", "--raw", path, check=False)
    forged = (tenant.get("pod", "hook") or {})["status"].get("podIP") == address
    return answer if forged and "no endpoints available" not in answer else None


def _refused(tenant: TenantCluster, host: str) -> bool:
    answer = created(tenant, GOOD)
    return f"dialing {host}:8080, code 403" in answer

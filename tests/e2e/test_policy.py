"""Network policies and disruption budgets, as the super cluster gets them."""

from functools import partial

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment

KEY = "kubernetes.io/metadata.name"


def network_policy(name: str, ingress: list[Object]) -> Object:
    """A policy for all pods of the namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress},
    }


def budget(name: str, app: str, **spec: object) -> Object:
    """A budget for the pods of an app."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": app}}} | spec,
    }


def peers_of(cluster: Cluster, name: str, namespace: str) -> list[Object]:
    """Whom the policy lets in."""
    found = cluster.get("networkpolicy", name, namespace)
    peers: list[Object] = found["spec"]["ingress"][0]["from"] if found else []
    return peers


def allowed(cluster: Cluster, name: str, namespace: str = "default") -> int:
    """How many pods the budget lets go."""
    found = cluster.get("pdb", name, namespace) or {}
    return int(found.get("status", {}).get("disruptionsAllowed", 0))


def is_gone(cluster: Cluster, kind: str, name: str, namespace: str) -> bool:
    """There is no such object."""
    return cluster.get(kind, name, namespace) is None


def test_a_network_policy_reaches_no_namespace_of_another_tenant(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    namespace = team_a.super_namespace()
    team_a.apply(network_policy("open", [{"from": [{"namespaceSelector": {}}]}]))
    (peer,) = wait_for("it is down", partial(peers_of, local.super, "open", namespace))
    labels = peer["namespaceSelector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    selected = {item["metadata"]["name"] for item in local.super.items("ns", "-l", selector)}
    assert team_a.super_namespace() in selected
    assert team_b.super_namespace() not in selected
    assert "kube-system" not in selected

    by_name = {"namespaceSelector": {"matchLabels": {KEY: "kube-system"}}}
    pods = {"podSelector": {"matchLabels": {"app": "front"}}}
    block = {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]}}
    team_a.apply(network_policy("open", [{"from": [by_name, pods, block]}]))

    def changed() -> list[Object]:
        found = peers_of(local.super, "open", namespace)
        return found if len(found) == 3 else []

    first, *others = wait_for("the change is down", changed)
    assert others == [pods, block]
    labels = first["namespaceSelector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    selected = {item["metadata"]["name"] for item in local.super.items("ns", "-l", selector)}
    assert selected == {team_a.super_namespace("kube-system")}
    team_a.kubectl("delete", "networkpolicy", "open")
    wait_for("it is gone", partial(is_gone, local.super, "networkpolicy", "open", namespace))


def test_a_budget_holds_on_both_sides(local: LocalSystem, team_a: TenantCluster) -> None:
    namespace = team_a.super_namespace()
    team_a.apply(deployment("guarded", replicas=3), budget("guard", "guarded", maxUnavailable=1))
    team_a.kubectl("rollout", "status", "deployment/guarded", "--timeout=150s")
    wait_for("one may go in the tenant", lambda: allowed(team_a, "guard") == 1)
    wait_for("one may go below", lambda: allowed(local.super, "guard", namespace) == 1)
    mirror = local.super.get("pdb", "guard", namespace) or {}
    assert mirror["spec"]["minAvailable"] == 2

    team_a.apply(budget("guard", "guarded", minAvailable="100%"))

    def shut() -> bool:
        found = local.super.get("pdb", "guard", namespace) or {"metadata": {}, "spec": {}}
        counted = found.get("status", {}).get("observedGeneration", 0)
        return (
            found["spec"].get("minAvailable") == 3
            and counted == found["metadata"].get("generation")
            and not allowed(local.super, "guard", namespace)
        )

    wait_for("none may go below", shut)
    victim = local.super.items("pods", "-n", namespace, "-l", "app=guarded")[0]["metadata"]["name"]
    body = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{victim}"}}}}'
    path = f"/api/v1/namespaces/{namespace}/pods/{victim}/eviction"
    answer = local.super.kubectl("create", "--raw", path, "-f", "-", stdin=body, check=False)
    assert "disruption budget" in answer, "a drain of the provider's is refused"
    team_a.kubectl("delete", "pdb/guard", "deployment/guarded")
    wait_for("it is gone", partial(is_gone, local.super, "pdb", "guard", namespace))

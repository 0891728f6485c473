"""The tenant breaks what operator and syncer have put into its own API server."""

import json
from functools import partial

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from tests.hostile.bystander import alice_works, created, patched, phase_is, told
from tests.pod_policy_cases import NFS, Case, secured, tolerating, volumes
from vcluster import api

MIGHTY = Case("mighty", "", secured(privileged=True))
STATIC = {"nodeName": "cpu-0", "automountServiceAccountToken": False}
BEHIND = (
    (MIGHTY, "PodSecurity"),
    (Case("storage", "", volumes(nfs=NFS)), "VolumeNotAllowed"),
    (Case("tolerant", "", tolerating(operator="Exists")), "TolerationDenied"),
    (Case("static", "", STATIC, {"kubernetes.io/config.mirror": "x"}), "ReservedKey"),
    (Case("marked", "", {}, {api.UID_ANNOTATION: "x"}), "ReservedKey"),
)
"""What the front door refuses, and the reason of the wall behind it."""
EXCEPTION = {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"never": "true"}}}}}
GREEDY = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


def front_door_is_shut(mallory: TenantCluster) -> bool:
    answer = mallory.kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(MIGHTY.pod()), check=False
    )
    return "denied request" in answer


def test_all_that_was_bootstrapped_is_put_back(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    wait_for("the front door is there", partial(front_door_is_shut, mallory))
    before = bootstrapped(mallory)
    mallory.kubectl("patch", "clusterrole", "virtualcluster:syncers", *patched({"rules": [GREEDY]}))
    mallory.kubectl("delete", "clusterrolebinding", "virtualcluster:syncers")
    mallory.kubectl("delete", "flowschema", "virtualcluster-syncer")
    shares = {"spec": {"limited": {"nominalConcurrencyShares": 0}}}
    mallory.kubectl(
        "patch", "prioritylevelconfiguration", "virtualcluster-syncer", *patched(shares)
    )
    mallory.kubectl("delete", "validatingadmissionpolicy", "virtualcluster-pod-templates")
    binding = ("validatingadmissionpolicybinding", "virtualcluster-pods")
    mallory.kubectl("patch", *binding, *patched(EXCEPTION))
    alice_works(alice)
    wait_for("all is as it was", lambda: bootstrapped(mallory) == before)
    wait_for("the front door is shut", partial(front_door_is_shut, mallory))
    mallory.apply(pod("after"))
    wait_for("its own pods run again", partial(phase_is, mallory, "after", "Running"))
    mallory.kubectl("delete", "pod", "after")


def bootstrapped(tenant: TenantCluster) -> dict[str, Object]:
    """What the operator has put there, without what changes by itself."""
    kinds = (
        "clusterroles,clusterrolebindings,flowschemas,prioritylevelconfigurations,"
        "validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    return {
        f"{item['kind']}/{item['metadata']['name']}": {
            key: value for key, value in item.items() if key not in ("metadata", "status")
        }
        for item in tenant.items(kinds)
        if item["metadata"]["name"].startswith("virtualcluster")
    }


def test_behind_the_front_door_there_is_a_wall(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    for label in ("enforce", "enforce-version"):
        value = {"enforce": "privileged", "enforce-version": "v1.20"}[label]
        mallory.kubectl(
            "label", "namespace", "default", f"pod-security.kubernetes.io/{label}={value}"
        )

    def enters(pod: Object) -> bool:  # each time anew, since the operator puts them back
        mallory.kubectl("delete", "validatingadmissionpolicies", "--all")
        return created(mallory, pod)

    for case, reason in BEHIND:
        wait_for(f"it is open to {case.name}", partial(enters, case.pod()))
        assert told(mallory, case.name)["reason"] == reason, case.name
        assert local.super.get("pod", case.name, mallory.super_namespace()) is None
    mallory.kubectl("delete", "pod", *(case.name for case, _ in BEHIND), "--wait=false")
    for label in ("enforce", "enforce-version"):
        mallory.kubectl("label", "namespace", "default", f"pod-security.kubernetes.io/{label}-")


def test_nodes_and_leases(local: LocalSystem, alice: TenantCluster, mallory: TenantCluster) -> None:
    """Its nodes are pictures."""
    names = {item["metadata"]["name"] for item in local.super.items("nodes")}
    capacity = node_capacity(mallory)
    mallory.kubectl("delete", "node", "cpu-1")
    larger = patched({"status": {"capacity": {"cpu": "4000"}}})
    mallory.kubectl("patch", "node", "cpu-0", "--subresource=status", *larger)
    own = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mine"}}
    ask = ("create", "--dry-run=server", "-f", "-")
    wait_for(  # the attack before this one has taken the policies away
        "she is warned",
        lambda: "nodes are the provider's" in mallory.run(*ask, stdin=json.dumps(own)).stderr,
    )
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "syncer", "namespace": "kube-system"},
    }
    mallory.apply(own, lease)
    mallory.apply(pod("lost", nodeName="mine"))

    def restored() -> bool:
        shown = {item["metadata"]["name"] for item in mallory.items("nodes")}
        return names | {"mine"} == shown and node_capacity(mallory) == capacity

    wait_for("they show again what is", restored)
    # Not on another node either: that the scheduler says so is the end of it.
    wait_for("its pod fits nowhere", partial(fits_nowhere, mallory, "lost"))
    below = local.super.get("pod", "lost", mallory.super_namespace()) or {}
    assert "nodeName" not in below["spec"], "there is no such node"
    mallory.kubectl("delete", "pod/lost", "node/mine", "--wait=false")
    mallory.kubectl("delete", "lease", "syncer", "-n", "kube-system")


def node_capacity(tenant: TenantCluster) -> Object:
    found: Object = (tenant.get("node", "cpu-0", "") or {})["status"]["capacity"]
    return found


def fits_nowhere(tenant: TenantCluster, name: str) -> bool:
    conditions = (tenant.get("pod", name) or {})["status"].get("conditions", ())
    return any(condition.get("reason") == "Unschedulable" for condition in conditions)


def required_terms(found: Object) -> list[Object]:
    nodes = found["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms: list[Object] = required.get("nodeSelectorTerms", [])
    return terms


def test_taints_and_cordons_with_a_forged_record_concern_nobody_else(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """They stay in its pictures, and only keep its own pods away."""
    record = {"virtualcluster.dev/taint-keys": "", "virtualcluster.dev/label-keys": "x"}
    labels = {"kubernetes.io/hostname": "cpu-1", "mine": "1"}
    for node in ("cpu-0", "gpu-0"):
        taints = [{"key": "mine", "effect": "NoExecute"}]
        spec = {"spec": {"taints": taints, "unschedulable": True}}
        forged = {"metadata": {"annotations": record, "labels": labels}}
        mallory.kubectl("patch", "node", node, *patched(spec))
        mallory.kubectl("patch", "node", node, *patched(forged))

    def put_back() -> bool:
        pictures = {node["metadata"]["name"]: node for node in mallory.items("nodes")}
        return all(
            pictures[node]["metadata"]["labels"]["kubernetes.io/hostname"] == node
            for node in ("cpu-0", "gpu-0")
        )

    wait_for("the names are put back", put_back)
    mallory.apply(pod("confined"))
    wait_for("its pod runs elsewhere", partial(phase_is, mallory, "confined", "Running"))
    below = local.super.get("pod", "confined", mallory.super_namespace()) or {}
    assert below["spec"]["nodeName"] == "cpu-1"
    operators = {
        requirement["operator"]
        for term in required_terms(below)
        for requirement in term["matchExpressions"]
    }
    assert operators == {"NotIn"}, "it is only ever kept away"
    for cluster in (local.super, alice):
        for found in cluster.items("nodes"):
            assert not found["spec"].get("unschedulable")
            assert not found["spec"].get("taints")
    alice_works(alice)
    for node in ("cpu-0", "gpu-0"):
        mallory.kubectl("patch", "node", node, *patched({"spec": {"taints": None}}))
        mallory.kubectl("uncordon", node)
    mallory.kubectl("delete", "pod", "confined", "--wait=false")


def test_a_device_of_the_providers_claimed_as_ones_own_is_still_asked_for(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """Else it could be had without being counted, and by pods whose quota has none."""
    record = {"metadata": {"annotations": {"virtualcluster.dev/resource-keys": "x"}}}
    amounts = {"nvidia.com/gpu": "90", "example.com/mine": "90"}
    mallory.kubectl("patch", "node", "gpu-0", *patched(record))
    claimed = patched({"status": {"capacity": amounts}})
    mallory.kubectl("patch", "node", "gpu-0", "--subresource=status", *claimed)
    resources = {"limits": {"nvidia.com/gpu": "80", "example.com/mine": "80"}}
    container = {"name": "main", "image": "demo", "resources": resources}
    mallory.apply(pod("greedy", containers=[container]))
    wait_for("its pod fits nowhere", partial(fits_nowhere, mallory, "greedy"))
    below = local.super.get("pod", "greedy", mallory.super_namespace()) or {}
    assert below["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "80"

    def put_back() -> bool:
        found = (mallory.get("node", "gpu-0", "") or {})["status"]["capacity"]
        return bool(found["nvidia.com/gpu"] == "4" and found["example.com/mine"] == "90")

    wait_for("the node shows what it has", put_back)
    for cluster in (local.super, alice):
        assert "example.com/mine" not in json.dumps(cluster.items("nodes"))
    alice_works(alice)
    nothing = patched({"status": {"capacity": {"example.com/mine": None}}})
    mallory.kubectl("patch", "node", "gpu-0", "--subresource=status", *nothing)
    mallory.kubectl("delete", "pod", "greedy", "--wait=false")

"""The laws, each attacked through the API servers (see docs/architecture.md)."""

import base64
import json
import os
import signal
from functools import partial

import pytest
import yaml

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, pod, service


def told(tenant: TenantCluster, name: str, reason: str, namespace: str = "default") -> str:
    """The message of an Event about the object, once there is one."""
    message: str = wait_for(
        f"an Event {reason} about {name}",
        lambda: next(
            (
                event["message"]
                for event in tenant.events(name, namespace)
                if event["reason"] == reason
            ),
            None,
        ),
    )
    return message


def runs(tenant: TenantCluster, name: str) -> bool:
    """The pod runs."""
    found = tenant.get("pod", name) or {}
    return bool(found.get("status", {}).get("phase") == "Running")


def test_law_1_a_foreign_object_is_neither_adopted_nor_changed(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    namespace = team_a.super_namespace()
    local.super.kubectl(
        "run", "taken", "-n", namespace, "--image=provider", "--labels=whose=provider"
    )
    before = local.super.get("pod", "taken", namespace)
    assert before is not None
    team_a.apply(pod("taken"))
    assert "not yours" in told(team_a, "taken", "NameTaken")
    team_a.kubectl("delete", "pod", "taken")
    wait_for("the tenant's pod is gone", lambda: team_a.get("pod", "taken") is None)
    team_a.apply(pod("bystander"))
    wait_for("another pod runs", partial(runs, team_a, "bystander"))
    after = local.super.get("pod", "taken", namespace)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    local.super.kubectl("delete", "pod", "taken", "-n", namespace)
    team_a.kubectl("delete", "pod", "bystander")


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("label", {"labels": {"virtualcluster.dev/tenant": "somebody-else"}}),
        ("annotation", {"annotations": {"virtualcluster.dev/uid": "forged"}}),
    ],
)
def test_law_1_a_tenant_cannot_forge_the_marks(
    local: LocalSystem, team_a: TenantCluster, name: str, extra: Object
) -> None:
    forged = service(f"forged-{name}")
    forged["metadata"] |= extra
    team_a.apply(forged)
    assert "virtualcluster.dev/" in told(team_a, f"forged-{name}", "ReservedKey")
    assert local.super.get("service", f"forged-{name}", team_a.super_namespace()) is None
    team_a.kubectl("delete", "service", f"forged-{name}")


def test_law_2_refusals_are_told_and_block_nobody(team_a: TenantCluster) -> None:
    team_a.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "stolen"},
            "spec": {"cidrs": ["10.96.0.0/24"]},
        }
    )

    def stolen() -> bool:
        answer = team_a.kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps(service("stolen", clusterIP="10.96.0.1")),
            check=False,
        )
        return "created" in answer or "unchanged" in answer

    wait_for("the tenant's own API server accepts the address", stolen)
    assert "10.96.0.1" in told(team_a, "stolen", "OutsideServiceRange")
    team_a.apply(pod("unhindered"))
    wait_for("a later pod runs", partial(runs, team_a, "unhindered"))
    team_a.kubectl("delete", "service", "stolen")
    team_a.kubectl("delete", "servicecidr", "stolen")
    team_a.kubectl("delete", "pod", "unhindered")


def test_law_4_a_tenant_sees_nothing_of_another(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    team_b.kubectl("create", "namespace", "secret-project")
    team_b.kubectl("create", "deployment", "hidden", "--image=demo", "-n", "secret-project")
    wait_for(
        "it runs",
        lambda: [
            item
            for item in team_b.items("pods", "-n", "secret-project")
            if item["status"]["phase"] == "Running"
        ],
    )
    seen = team_a.kubectl(
        "get", "pods,services,events,nodes,namespaces,secrets", "-A", "-o", "json"
    )
    assert "secret-project" not in seen
    assert team_b.key not in seen
    assert team_a.key not in seen, "not even the tenant's own key shows"
    team_b.kubectl("delete", "namespace", "secret-project", "--wait=false")


def test_law_4_credentials_of_one_tenant_are_refused_by_another(
    local: LocalSystem,
    team_a: TenantCluster,
    team_b: TenantCluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mixed = tmp_path_factory.mktemp("mixed") / "kubeconfig"
    config = json.loads(team_a.kubectl("config", "view", "--raw", "-o", "json"))
    other = json.loads(team_b.kubectl("config", "view", "--raw", "-o", "json"))
    config["clusters"][0]["cluster"] = other["clusters"][0]["cluster"]
    mixed.touch(0o600)
    mixed.write_text(json.dumps(config))
    intruder = type(local.super)(team_a.kubectl_program, mixed)
    answer = intruder.kubectl("get", "pods", check=False)
    assert "Unauthorized" in answer or "must be logged in" in answer or "certificate" in answer
    super_config = json.loads(local.super.kubectl("config", "view", "--raw", "-o", "json"))
    config["clusters"][0]["cluster"] = super_config["clusters"][0]["cluster"]
    mixed.write_text(json.dumps(config))
    answer = intruder.kubectl("get", "pods", check=False)
    assert "Unauthorized" in answer or "must be logged in" in answer or "certificate" in answer


def test_law_5_a_restarted_syncer_finds_its_place_again(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(deployment("steady", replicas=3))
    # Until they are available, nodes have more to say of them.
    team_a.kubectl("rollout", "status", "deployment/steady", "--timeout=150s")
    namespace = team_a.super_namespace()
    before = {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
        for item in local.super.items("pods", "-n", namespace, "-l", "app=steady")
    }
    stop_syncer(local)
    team_a.kubectl("scale", "deployment", "steady", "--replicas=4")
    team_a.apply(pod("meanwhile"))
    wait_for("the pod made meanwhile runs", partial(runs, team_a, "meanwhile"))
    wait_for(
        "the fourth runs",
        lambda: (
            sum(
                item["status"]["phase"] == "Running"
                for item in team_a.items("pods", "-l", "app=steady")
            )
            == 4
        ),
    )
    after = {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
        for item in local.super.items("pods", "-n", namespace, "-l", "app=steady")
    }
    assert {uid: after.get(uid) for uid in before} == before, "nothing was written again"
    team_a.kubectl("delete", "deployment/steady", "pod/meanwhile")


def stop_syncer(local: LocalSystem) -> None:
    """kill -9; the supervisor starts it again."""
    os.kill(wait_for("it runs", partial(local.pid, "super", "syncer")), signal.SIGKILL)


def test_law_7_the_super_cluster_enforces_pod_security(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    """Behind a front door that the tenant has removed, and by the super cluster itself as well."""
    team_a.kubectl("label", "namespace", "default", "pod-security.kubernetes.io/enforce=privileged")
    privileged = {"name": "main", "image": "demo", "securityContext": {"privileged": True}}
    mighty = yaml.safe_dump(pod("mighty", containers=[privileged]))

    def admitted() -> bool:  # each time anew, since the operator puts them back
        team_a.kubectl("delete", "validatingadmissionpolicybindings", "--all")
        return "created" in team_a.kubectl("create", "-f", "-", stdin=mighty, check=False)

    wait_for("the tenant's own API server admits it", admitted)
    assert "privileged" in told(team_a, "mighty", "PodSecurity")

    def conditions() -> list[Object]:
        found = team_a.get("pod", "mighty") or {"status": {}}
        return found["status"].get("conditions") or []

    (condition,) = wait_for("its status says so too", conditions)
    assert (condition["type"], condition["reason"]) == ("virtualcluster.dev/Refused", "PodSecurity")
    namespace = team_a.super_namespace()
    assert local.super.get("pod", "mighty", namespace) is None
    create = ("create", "--dry-run=server", "-n", namespace, "-f", "-")
    answer = local.super.kubectl(*create, stdin=mighty, check=False)
    assert 'violates PodSecurity "baseline:latest": privileged' in answer
    team_a.kubectl("delete", "pod", "mighty")
    team_a.kubectl("label", "namespace", "default", "pod-security.kubernetes.io/enforce-")


def test_law_8_tokens_are_the_tenants_and_in_no_log(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(pod("bearer"))
    wait_for("it runs", partial(runs, team_a, "bearer"))
    own = team_a.get("pod", "bearer")
    assert own is not None
    (secret,) = [
        item
        for item in local.super.items("secrets", "-n", team_a.super_namespace())
        if item["metadata"]["annotations"].get("virtualcluster.dev/uid") == own["metadata"]["uid"]
    ]
    token = base64.b64decode(secret["data"]["token-0"]).decode()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["kubernetes.io"]["pod"]["uid"] == own["metadata"]["uid"]
    assert claims["kubernetes.io"]["namespace"] == "default"
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    for cluster, valid in ((team_a, True), (local.super, False)):
        answer = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
        assert json.loads(answer)["status"].get("authenticated", False) is valid
    for log in (local.state_directory / "logs").iterdir():
        assert token not in log.read_text(errors="replace"), f"the token is in {log.name}"
    team_a.kubectl("delete", "pod", "bearer")
    wait_for(
        "the token is revoked with the pod",
        lambda: (
            "authenticated"
            not in json.loads(
                team_a.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
            )["status"]
        ),
    )

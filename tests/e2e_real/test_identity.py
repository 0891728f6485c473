"""Whom a container is: its tokens, and what it is told of its pod, are the tenant's."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e_real.containers import container_pod, is_ready
from vcluster import api

TOKENS = "/tokens"
VAULT, SECONDS = "vault.example.com", 900
GROUP = 2000
FIELDS = {
    "NAMESPACE": "metadata.namespace",
    "UID_OF_POD": "metadata.uid",
    "ACCOUNT": "spec.serviceAccountName",
    "APP": "metadata.labels['app']",
    "NOTE": "metadata.annotations['note']",
    "TENANT": f"metadata.labels['{api.TENANT_LABEL}']",
    "NODE": "spec.nodeName",
}
LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def tenant(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a, with a pod ``known`` that mounts two tokens and is told of itself."""
    sources = [
        {"serviceAccountToken": {"path": "own"}},
        {
            "serviceAccountToken": {
                "path": "vault",
                "audience": VAULT,
                "expirationSeconds": SECONDS,
            }
        },
        {
            "downwardAPI": {
                "items": [
                    {"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}}
                    for name in ("labels", "annotations")
                ]
            }
        },
    ]
    wanted = container_pod(
        "known",
        "exec sleep 100000",
        serviceAccountName="robot",
        securityContext={"fsGroup": GROUP},
        volumes=[{"name": "tokens", "projected": {"sources": sources}}],
    )
    wanted["metadata"]["annotations"] = {"note": "said\ntwice"}
    wanted["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "tokens", "mountPath": TOKENS}],
        "env": [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in FIELDS.items()
        ],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    team_a.apply(account, wanted)
    wait_for("it runs", lambda: is_ready(team_a, "known"))
    yield team_a
    team_a.kubectl("delete", "pod/known", "sa/robot", "--wait=false", "--ignore-not-found")


def read(tenant: TenantCluster, name: str) -> str:
    """A file of the pod's volume."""
    return tenant.kubectl("exec", "known", "--", "cat", f"{TOKENS}/{name}")


def claims(token: str) -> dict[str, Any]:
    """What a token says; it is not verified here."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def reviewed(cluster: Cluster, token: str, *audiences: str) -> Object:
    """What an API server thinks of a token."""
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, **({"audiences": audiences} if audiences else {})},
    }
    said = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    status: Object = json.loads(said)["status"]
    return status


def test_a_token_is_for_the_pods_group_only(tenant: TenantCluster) -> None:
    said = tenant.kubectl("exec", "known", "--", "stat", "-L", "-c", "%a %g", f"{TOKENS}/own")
    assert said == f"640 {GROUP}\n"


def test_a_token_is_for_whom_it_was_asked(
    local: LocalSystem, tenant: TenantCluster, team_b: TenantCluster
) -> None:
    token, own = read(tenant, "vault"), read(tenant, "own")
    said = claims(token)
    assert said["aud"] == [VAULT]
    assert said["exp"] - said["iat"] == SECONDS
    pod = tenant.get("pod", "known")
    assert pod is not None
    assert said["kubernetes.io"]["pod"] == {"name": "known", "uid": pod["metadata"]["uid"]}
    assert said["sub"] == "system:serviceaccount:default:robot"
    found = reviewed(tenant, token, VAULT)
    assert found["authenticated"]
    assert found["audiences"] == [VAULT]
    assert not reviewed(tenant, token).get("authenticated"), "it is not for the API server"
    assert reviewed(tenant, own)["user"]["username"] == "system:serviceaccount:default:robot"
    for other in (local.super, team_b):
        assert not reviewed(other, own).get("authenticated")
        assert not reviewed(other, token, VAULT).get("authenticated")


def test_a_pod_is_told_of_itself_as_the_tenant_knows_it(tenant: TenantCluster) -> None:
    pod = tenant.get("pod", "known")
    assert pod is not None
    lines = tenant.kubectl("exec", "known", "--", "env", "-0").split("\0")
    environment = dict(line.split("=", 1) for line in lines if line)
    assert {name: environment[name] for name in FIELDS} == {
        "NAMESPACE": "default",
        "UID_OF_POD": pod["metadata"]["uid"],
        "ACCOUNT": "robot",
        "APP": "known",
        "NOTE": "said\ntwice",
        "TENANT": "",
        "NODE": pod["spec"]["nodeName"],
    }
    assert read(tenant, "labels") == 'app="known"'
    annotations = read(tenant, "annotations").splitlines()
    assert 'note="said\\ntwice"' in annotations
    assert not any(line.startswith(api.PREFIX) for line in annotations)
    tenant.kubectl("label", "pod", "known", "more=yes")
    wait_for(
        "the file follows",
        lambda: read(tenant, "labels") == 'app="known"\nmore="yes"',
        240,
    )


def test_a_token_that_was_due_during_an_outage_is_renewed_at_once(
    local: LocalSystem, tenant: TenantCluster
) -> None:
    before = read(tenant, "vault")
    namespace = tenant.super_namespace()
    selector = f"{api.COMPONENT_LABEL}=token"
    [secret] = [
        item
        for item in local.super.items("secrets", "-n", namespace, "-l", selector)
        if item["metadata"]["annotations"][api.NAME_ANNOTATION] == "known"
    ]
    name = secret["metadata"]["name"]
    # Zero, of one that is between two lives, would mean all of us.
    pid = wait_for("the syncer runs", lambda: local.pid("super", "syncer"))
    os.kill(pid, signal.SIGSTOP)
    try:
        # The hour of its renewal passes.
        mark = f"{api.EXPIRES_ANNOTATION}={LONG_AGO}"
        local.super.kubectl("annotate", "secret", name, "-n", namespace, mark, "--overwrite")
    finally:
        os.kill(pid, signal.SIGKILL)

    def renewed() -> bool:
        found = local.super.get("secret", name, namespace) or secret
        marks = found["metadata"]["annotations"]
        return bool(found["data"] != secret["data"] and marks[api.EXPIRES_ANNOTATION] > LONG_AGO)

    wait_for("it is renewed", renewed)
    # Kubelets look at volumes once a minute, and when the pod changes.
    tenant.kubectl("annotate", "pod", "known", "look=again")
    wait_for("the container has it", lambda: read(tenant, "vault") != before, 240)
    assert reviewed(tenant, read(tenant, "vault"), VAULT)["authenticated"]


def test_a_token_ends_with_its_pod(tenant: TenantCluster) -> None:
    token = read(tenant, "own")
    tenant.kubectl("delete", "pod", "known")
    wait_for("it is worth nothing", lambda: not reviewed(tenant, token).get("authenticated"))

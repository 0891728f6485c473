"""Objects that pretend to be others': by marks, by names, by references, by odd characters."""

import json
from functools import partial

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod, service
from tests.hostile.bystander import created, phase_is, told
from vcluster import api

ODD = {
    "example.com/newline": 'one\ntwo\r\n{"event": "forged"}',
    "example.com/escape": "\x1b[2J\x1b]0;owned\x07",
    "example.com/template": "{{ 7 * 7 }} {% raw %} ${HOME} $(id) `id` %s %n {0.__class__}",
    "example.com/path": "../../../../etc/passwd\u0000"[:-1],
    "example.com/unicode": "\u202e\ufeff\U0001f600 ' \" \\ </script>",
    "example.com/long": "x" * 100_000,
}


def config_map(name: str, **metadata: object) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name} | metadata}


def claims_of(alice: TenantCluster) -> dict[str, Object]:
    """Metadata that says that an object is alice's."""
    return {
        "labels": {api.TENANT_LABEL: alice.key, api.BUCKET_LABEL: "1"},
        "annotations": {api.UID_ANNOTATION: "0" * 8, api.NAMESPACE_ANNOTATION: "default"},
    }


def test_forged_marks(local: LocalSystem, alice: TenantCluster, mallory: TenantCluster) -> None:
    forged = service("forged")
    forged["metadata"] |= claims_of(alice)
    mallory.apply(
        forged,
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "forged"} | claims_of(alice),
        },
    )
    assert told(mallory, "forged")["reason"] == "ReservedKey"
    assert local.super.get("service", "forged", mallory.super_namespace()) is None
    assert local.super.get("namespace", f"{mallory.key}-forged") is None
    marked = pod("marked")
    marked["metadata"] |= claims_of(alice)
    answer = mallory.kubectl("create", "-f", "-", stdin=json.dumps(marked), check=False)
    assert "is reserved" in answer
    mallory.kubectl("delete", "service/forged", "namespace/forged")


def test_what_the_provider_says_on_namespaces(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """Its network policies, webhooks and admission plug-ins go by the labels and annotations there."""
    metadata = {
        "name": "trusted",
        "labels": {
            "team": "infrastructure",
            "admission.gatekeeper.sh/ignore": "true",
            "pod-security.kubernetes.io/enforce": "privileged",
            "pod-security.kubernetes.io/enforce-version": "v1.20",
        },
        "annotations": {
            "scheduler.alpha.kubernetes.io/node-selector": "node-role.kubernetes.io/control-plane=",
            "iam.amazonaws.com/permitted": ".*",
        },
    }
    mallory.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    name = mallory.super_namespace("trusted")
    below = wait_for("it is down", partial(local.super.get, "namespace", name))["metadata"]
    keys = {*below["labels"], *below["annotations"]}
    assert {key for key in keys if api.GROUP not in key.partition("/")[0]} == {
        "kubernetes.io/metadata.name",
        "pod-security.kubernetes.io/enforce",
        "pod-security.kubernetes.io/enforce-version",
    }
    assert below["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert below["labels"]["pod-security.kubernetes.io/enforce-version"] == "latest"
    mallory.kubectl("delete", "namespace", "trusted", "--wait=false")


def test_what_shared_controllers_are_asked_for(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """A name in DNS that is alice's, and a pod in a network of the provider's."""
    asks = {
        "external-dns.alpha.kubernetes.io/hostname": "shop.example.com",
        "k8s.v1.cni.cncf.io/networks": "kube-system/management",
    }
    for kind, asker in (("service", service("asker")), ("pod", pod("asker"))):
        asker["metadata"]["annotations"] = asks
        mallory.apply(asker)
        ask = partial(local.super.get, kind, "asker", mallory.super_namespace())
        annotations = wait_for("it is down", ask)["metadata"]["annotations"]
        assert asks.keys().isdisjoint(annotations)
        assert {*asks.values()} <= {*annotations.values()}, "nothing is lost"
    mallory.kubectl("delete", "service/asker", "pod/asker", "--wait=false")


def test_owners_and_finalizers_stay_in_the_tenant(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """The super cluster's garbage collector would delete the pod: there is no such owner."""
    found = mallory.get("configmap", "kube-root-ca.crt") or {}
    uid = found["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": uid}
    kept = pod("kept")
    kept["metadata"] |= {"finalizers": ["example.com/stay"], "ownerReferences": [owner]}
    mallory.apply(kept)
    wait_for("it is down", partial(local.super.get, "pod", "kept", mallory.super_namespace()))
    below = local.super.get("pod", "kept", mallory.super_namespace()) or {}
    assert {"finalizers", "ownerReferences"}.isdisjoint(below["metadata"])
    mallory.kubectl("delete", "pod", "kept", "--wait=false")
    wait_for(
        "it is gone below", lambda: not local.super.get("pod", "kept", mallory.super_namespace())
    )
    mallory.kubectl(
        "patch", "pod", "kept", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )


def test_names_that_collide(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """A namespace named as alice's mirror, as a root namespace, and two alike in all that is kept."""
    long = "n" * 50
    names = [
        f"{alice.key}-default"[:63],
        alice.key,
        "virtualcluster-system",
        "tenants",
        f"{long}-one",
        f"{long}-two",
    ]
    for name in names:
        mallory.kubectl("create", "namespace", name)
    expected = {api.super_namespace(mallory.key, name) for name in names}
    assert len(expected) == len(names)

    def below() -> bool:
        selector = f"{api.TENANT_LABEL}={mallory.key}"
        found = {
            item["metadata"]["name"] for item in local.super.items("namespaces", "-l", selector)
        }
        return expected <= found

    wait_for("each has a mirror of its own", below)
    mallory.kubectl("delete", "namespace", *names, "--wait=false")


def test_odd_characters(local: LocalSystem, alice: TenantCluster, mallory: TenantCluster) -> None:
    names = ["a" * 253, "0.0-0.x", "xn--a"]
    for name in names:
        odd = pod(
            name,
            containers=[
                {"name": "main", "image": "demo", "env": [{"name": "A", "value": "\x1b\n"}]}
            ],
        )
        odd["metadata"]["annotations"] = ODD
        mallory.apply(odd)
    for name in names:
        wait_for(f"{name} runs", partial(phase_is, mallory, name, "Running"))
        below = local.super.get("pod", name, mallory.super_namespace()) or {}
        assert ODD.items() <= below["metadata"]["annotations"].items()
    for component in ("syncer", "operator"):
        text = (local.state_directory / "logs" / f"{component}.log").read_text()
        ended, _, _ = text.rpartition("\n")  # the last line may just be being written
        for line in ended.splitlines():
            assert isinstance(json.loads(line), dict), "each line of a log is one record"
    status = json.loads(local.vc("status", "-o", "json").stdout)
    assert status
    mallory.kubectl("delete", "pod", *names)


def definition(plural: str, kind: str, group: str) -> Object:
    """A definition of a kind that has a famous name."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    versions = [version | {"schema": {"openAPIV3Schema": schema}}]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
    }


def a_shadow(kind: str, group: str) -> Object:
    return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": "shadow"}}


def test_definitions_that_shadow_core_kinds(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    definitions = [
        definition("pods", "Pod", "shadow.example"),
        definition("namespaces", "Namespace", "shadow.example"),
        definition("virtualclusters", "VirtualCluster", api.GROUP),
    ]
    mallory.apply(*definitions)
    # Each such that it could go down, for somebody who went by the name of its kind.
    shadows = [
        pod("shadow") | {"apiVersion": "shadow.example/v1alpha1"},
        a_shadow("Namespace", "shadow.example"),
        a_shadow("VirtualCluster", api.GROUP),
    ]
    for shadow in shadows:
        wait_for(f"{shadow['kind']} is served", partial(created, mallory, shadow))
    mallory.apply(pod("real"))
    namespace = mallory.super_namespace()
    wait_for("real pods run", partial(local.super.get, "pod", "real", namespace))
    assert local.super.get("pod", "shadow", namespace) is None
    assert local.super.get("namespace", mallory.super_namespace("shadow")) is None
    mallory.kubectl("delete", "crd", *(item["metadata"]["name"] for item in definitions))
    mallory.kubectl("delete", "--raw", "/api/v1/namespaces/default/pods/real")

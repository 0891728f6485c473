"""The volumes of a super pod, and what it has to wait for."""

import pytest

from kube.objects import Object
from syncer.kinds.pod import to_super
from syncer.kinds.pod_certificates import certificate_secret_name
from syncer.kinds.pod_update import patches
from syncer.kinds.pod_volumes import Reference, references, token_secret_name
from syncer.kinds.trust_bundles import trust_secret_name
from tests.unit.kinds.builders import ACME, TENANT_UID
from tests.unit.kinds.pod_builders import OFFERS, a_container, a_pod, down, live_mirror
from vcluster import api

RENAMED = api.MIRRORED_ROOT_CA_CONFIG_MAP
UID_PATH = f"metadata.annotations['{api.UID_ANNOTATION}']"
NAMESPACE_PATH = f"metadata.annotations['{api.NAMESPACE_ANNOTATION}']"


def volume(**source: object) -> Object:
    found: Object = down(a_pod(volumes=[{"name": "v", **source}]))["volumes"][0]
    return found


def projected(*sources: Object) -> list[Object]:
    found: list[Object] = volume(projected={"defaultMode": 420, "sources": list(sources)})[
        "projected"
    ]["sources"]
    return found


def test_the_service_account_volume_is_served_from_the_tenants_token() -> None:
    """As the ServiceAccount admission of every API server makes it."""
    found = volume(
        projected={
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {
                    "configMap": {
                        "name": api.ROOT_CA_CONFIG_MAP,
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [_item("namespace", "metadata.namespace")]}},
            ],
        }
    )
    assert found["projected"] == {
        "defaultMode": 420,
        "sources": [
            {
                "secret": {
                    "name": token_secret_name(TENANT_UID),
                    "items": [{"key": "token-0", "path": "token"}],
                }
            },
            {"configMap": {"name": RENAMED, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [_item("namespace", NAMESPACE_PATH)]}},
        ],
    }


def _item(path: str, field: str) -> Object:
    return {"path": path, "fieldRef": {"apiVersion": "v1", "fieldPath": field}}


def test_each_audience_and_life_has_a_key_of_its_own() -> None:
    asked = [
        {"path": "a"},
        {"path": "b", "audience": "vault"},
        {"path": "c", "audience": "vault", "expirationSeconds": 7200},
        {"path": "d", "audience": "vault"},
    ]
    found = projected(*({"serviceAccountToken": one} for one in asked))
    items = [source["secret"]["items"][0] for source in found]
    assert [(item["path"], item["key"]) for item in items] == [
        ("a", "token-0"),
        ("b", "token-1"),
        ("c", "token-2"),
        ("d", "token-1"),
    ]


def test_no_projection_asks_the_super_cluster_for_a_token() -> None:
    assert "serviceAccountToken" not in str(projected({"serviceAccountToken": {"path": "a"}}))


def test_certificates_come_from_the_tenants_own_signers() -> None:
    signer = {"signerName": "example.com/a", "keyType": "ED25519"}
    asked = [
        signer | {"credentialBundlePath": "bundle.pem"},
        signer | {"keyPath": "key.pem", "certificateChainPath": "chain.pem"},
    ]
    found = projected(*({"podCertificate": one} for one in asked))
    assert [source["secret"]["name"] for source in found] == [
        certificate_secret_name(TENANT_UID)
    ] * 2
    assert [source["secret"]["items"] for source in found] == [
        [{"key": "podCertificate.v.0.bundle", "path": "bundle.pem"}],
        [
            {"key": "podCertificate.v.1.key", "path": "key.pem"},
            {"key": "podCertificate.v.1.chain", "path": "chain.pem"},
        ],
    ]
    assert "podCertificate" not in {field for source in found for field in source}, (
        "the kubelet would ask the super cluster"
    )


def test_trust_bundles_come_from_the_tenants_own() -> None:
    named = {"name": "roots", "path": "roots.pem"}
    selected = {"signerName": "example.com/a", "labelSelector": {}, "path": "a.pem"}
    again = named | {"path": "again.pem"}
    found = projected(*({"clusterTrustBundle": source} for source in (named, selected, again)))
    assert [source["secret"]["name"] for source in found] == [trust_secret_name(TENANT_UID)] * 3
    assert [source["secret"]["items"] for source in found] == [
        [{"key": "trust-0", "path": "roots.pem"}],
        [{"key": "trust-1", "path": "a.pem"}],
        [{"key": "trust-0", "path": "again.pem"}],
    ]


def test_a_pod_with_a_group_keeps_what_is_its_own_to_that_group() -> None:
    sources: list[Object] = [
        {"serviceAccountToken": {"path": "token"}},
        {"clusterTrustBundle": {"name": "roots", "path": "roots.pem"}},
        {"podCertificate": {"signerName": "a.b/c", "keyPath": "key.pem"}},
        {"secret": {"name": "s", "items": [{"key": "a", "path": "b"}]}},
    ]
    volumes = [{"name": "v", "projected": {"defaultMode": 0o644, "sources": sources}}]
    for context, modes in (
        ({"fsGroup": 0}, [0o600, 0o600, 0o600, None]),
        ({"runAsUser": 1000}, [None, None, None, None]),
    ):
        found = down(a_pod(volumes=volumes, securityContext=context))["volumes"][0]["projected"]
        items = [source["secret"]["items"][0] for source in found["sources"]]
        assert [item.get("mode") for item in items] == modes


def test_other_projections_pass() -> None:
    secret = {"secret": {"name": "s", "items": [{"key": "a", "path": "b"}]}}
    settings = {"configMap": {"name": "c", "optional": True}}
    assert projected(secret, settings) == [secret, settings]


def test_the_root_ca_follows_its_new_name() -> None:
    found = volume(configMap={"name": api.ROOT_CA_CONFIG_MAP, "defaultMode": 256})
    assert found == {"name": "v", "configMap": {"name": RENAMED, "defaultMode": 256}}


def test_the_downward_api_shows_the_tenants_values() -> None:
    items: list[Object] = [
        _item("uid", "metadata.uid") | {"mode": 256},
        _item("labels", "metadata.labels['app']"),
        {"path": "cpu", "resourceFieldRef": {"resource": "limits.cpu"}},
    ]
    found = volume(downwardAPI={"defaultMode": 420, "items": items})["downwardAPI"]
    assert found == {
        "defaultMode": 420,
        "items": [_item("uid", UID_PATH) | {"mode": 256}, *items[1:]],
    }


@pytest.mark.parametrize("projected", [False, True])
def test_labels_and_annotations_are_shown_whole_without_ours(projected: bool) -> None:
    source = {
        "downwardAPI": {
            "items": [_item("l", "metadata.labels"), _item("a", "metadata.annotations")]
        }
    }
    shown = {"projected": {"sources": [source]}} if projected else source
    pod = a_pod(labels={"tier": "web", "app": "shop"}, volumes=[{"name": "v", **shown}])
    pod["metadata"]["annotations"] = {"note": 'two\nlines, "said" \u00e9\u200b\x01', "empty": ""}
    below = to_super(pod, ACME, OFFERS)
    [volume] = below["spec"]["volumes"]
    [found] = volume["projected"]["sources"] if projected else [volume]
    paths = [item["fieldRef"]["fieldPath"] for item in found["downwardAPI"]["items"]]
    keys = [path.removeprefix("metadata.annotations['").removesuffix("']") for path in paths]
    texts = [below["metadata"]["annotations"][key] for key in keys]
    assert texts == [
        'app="shop"\ntier="web"',
        'empty=""\nnote="two\\nlines, \\"said\\" \u00e9\\u200b\\x01"',
    ]


def test_a_changed_label_changes_what_is_shown() -> None:
    items = [_item("l", "metadata.labels")]
    pod = a_pod(labels={"app": "shop"}, volumes=[{"name": "v", "downwardAPI": {"items": items}}])
    live = live_mirror(pod)
    pod["metadata"]["labels"] = {"app": "sold"}
    [patch] = patches(live, pod, ACME, OFFERS)
    marks = patch.body["metadata"]["annotations"]
    assert marks[api.SHOWN_LABELS_ANNOTATION] == 'app="sold"'


def test_an_ephemeral_volume_is_the_claim_that_the_tenants_controllers_have_made() -> None:
    template = {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}
    assert volume(ephemeral=template) == {
        "name": "v",
        "persistentVolumeClaim": {"claimName": "shop-v"},
    }


@pytest.mark.parametrize(
    "source",
    [
        {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"secret": {"secretName": "s", "defaultMode": 256}},
        {"persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
        {"hostPath": {"path": "/dev/shm", "type": "Directory"}},
        {"csi": {"driver": "example.com", "nodePublishSecretRef": {"name": "s"}}},
        {"image": {"reference": "example.com/data:1", "pullPolicy": "Always"}},
        {"nfs": {"server": "nas.example.com", "path": "/"}},
    ],
    ids=lambda source: str(next(iter(source))),
)
def test_every_other_volume_passes(source: Object) -> None:
    assert volume(**source) == {"name": "v", **source}


# What a pod names.


def test_references_are_found_in_every_place() -> None:
    pod = a_pod(
        imagePullSecrets=[{"name": "pull"}],
        containers=[
            a_container(
                env=[
                    _from("configMapKeyRef", "env-map", "k"),
                    _from("secretKeyRef", "env-secret", "k"),
                ],
                envFrom=[{"configMapRef": {"name": "from-map"}}, {"secretRef": {"name": "from"}}],
            )
        ],
        initContainers=[a_container("init", envFrom=[{"secretRef": {"name": "init-secret"}}])],
        ephemeralContainers=[a_container("debug", envFrom=[{"secretRef": {"name": "dbg"}}])],
        volumes=[
            {"name": "a", "configMap": {"name": "map"}},
            {"name": "b", "secret": {"secretName": "secret"}},
            {"name": "c", "azureFile": {"secretName": "azure", "shareName": "x"}},
            {"name": "d", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "csi"}}},
            {"name": "e", "iscsi": {"secretRef": {"name": "iscsi"}}},
            {"name": "f", "flexVolume": {"driver": "x", "secretRef": {"name": "flex"}}},
            {
                "name": "g",
                "projected": {
                    "sources": [{"configMap": {"name": "p-map"}}, {"secret": {"name": "p-secret"}}]
                },
            },
        ],
    )
    maps = ("env-map", "from-map", "map", "p-map")
    secrets = ("env-secret", "from", "init-secret", "dbg", "secret", "azure", "csi", "iscsi")
    assert set(references(pod)) == {
        Reference("secrets", "pull", optional=True),
        *(Reference("configmaps", name, optional=False) for name in maps),
        *(Reference("secrets", name, optional=False) for name in (*secrets, "flex", "p-secret")),
    }


def _from(kind: str, name: str, key: str, **fields: object) -> Object:
    return {"name": "A", "valueFrom": {kind: {"name": name, "key": key, **fields}}}


def test_a_reference_is_optional_only_if_it_is_so_everywhere() -> None:
    pod = a_pod(
        containers=[
            a_container(env=[_from("configMapKeyRef", "a", "k", optional=True)]),
            a_container("two", envFrom=[{"configMapRef": {"name": "a"}}]),
            a_container("three", env=[_from("configMapKeyRef", "b", "k", optional=True)]),
            a_container("four", env=[_from("configMapKeyRef", "a", "k", optional=True)]),
        ],
        volumes=[{"name": "v", "secret": {"secretName": "s", "optional": True}}],
    )
    assert set(references(pod)) == {
        Reference("configmaps", "a", optional=False),
        Reference("configmaps", "b", optional=True),
        Reference("secrets", "s", optional=True),
    }


def test_claims_are_waited_for_also_those_made_for_the_pod() -> None:
    pod = a_pod(
        volumes=[
            {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "b", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        ]
    )
    name = pod["metadata"]["name"]
    assert set(references(pod)) == {
        Reference("persistentvolumeclaims", "data", optional=False),
        Reference("persistentvolumeclaims", f"{name}-b", optional=False),
    }


def test_the_pods_own_token_is_not_waited_for() -> None:
    sources = [{"serviceAccountToken": {"path": "token"}}]
    assert references(a_pod(volumes=[{"name": "v", "projected": {"sources": sources}}])) == ()


def test_token_secrets_of_different_pods_differ() -> None:
    names = {token_secret_name(f"uid-{number}") for number in range(1000)}
    assert len(names) == 1000
    assert all(len(name) <= 63 for name in names)

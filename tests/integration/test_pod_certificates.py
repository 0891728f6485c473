"""What we ask a signer for passes a real API server's validation, and so does what comes of it."""

import uuid
from collections.abc import AsyncIterator

import pytest

from kube.client import Client, Patch
from kube.connection import KubeconfigFile
from kube.errors import Invalid
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import POD_CERTIFICATE_REQUESTS, PODS
from kube.transport import AiohttpTransport
from syncer.kinds.pod_certificates import (
    certificate_projections,
    certificate_request,
    decode_request,
)
from syncer.private_keys import KEY_TYPES, make_key
from tests.builders import a_pod
from tests.integration.super_cluster import SuperCluster
from tests.signer import NAME, Signer, identity_of

pytestmark = pytest.mark.integration

ANYWHERE = ObjectKey("default", "")


@pytest.fixture
async def client(super_cluster: SuperCluster) -> AsyncIterator[Client]:
    """An administrator's client."""
    client = Client(AiohttpTransport(KubeconfigFile(super_cluster.kubeconfig("admin"))), 60.0)
    yield client
    await client.close()


@pytest.fixture
async def pod(client: Client) -> AsyncIterator[Object]:
    """A pod that waits to be scheduled: requests belong to it, and go with it."""
    asked = {"signerName": NAME, "keyType": "ED25519", "keyPath": "key.pem"}
    annotations = {"userAnnotations": {"signer.example.com/path": "/a"}}
    source = {"podCertificate": asked | annotations | {"certificateChainPath": "chain.pem"}}
    volumes = [{"name": "tls", "projected": {"sources": [source]}}]
    wanted = a_pod("asks", schedulingGates=[{"name": "example.com/wait"}], volumes=volumes)
    made = decode_object(await client.create(PODS, ANYWHERE, encode(wanted)))
    yield made
    uid = made["metadata"]["uid"]
    await client.delete(PODS, ObjectKey("default", "asks"), uid=uid, grace_period_seconds=0)


def asked_with(pod: Object, pkcs10: bytes) -> bytes:
    [wanted] = certificate_projections(pod).values()
    bound = pod | {"spec": pod["spec"] | {"nodeName": "node-1"}}
    account, node = str(uuid.uuid4()), str(uuid.uuid4())
    return encode(
        certificate_request(bound, wanted, account_uid=account, node_uid=node, pkcs10=pkcs10)
    )


@pytest.mark.parametrize("key_type", KEY_TYPES)
async def test_a_request_for_each_type_of_key_is_taken_and_can_be_issued(
    client: Client, pod: Object, key_type: str
) -> None:
    key = await make_key(key_type)
    body = asked_with(pod, key.pkcs10)
    answer = await client.create(POD_CERTIFICATE_REQUESTS, ANYWHERE, body)
    made = decode_object(answer)
    assert made["spec"]["maxExpirationSeconds"] == 86400
    assert decode_request(answer).verdict() is None
    name = ObjectKey("default", made["metadata"]["name"])
    patch = encode({"status": Signer().issued(made)})
    await client.patch(POD_CERTIFICATE_REQUESTS, name, Patch.MERGE, patch, "status")
    found = decode_request(await client.get(POD_CERTIFICATE_REQUESTS, name))
    verdict = found.verdict()
    assert verdict is not None
    assert verdict.type == "Issued"
    assert found.status.begin_refresh_at is not None
    assert identity_of(found.status.certificate_chain) == "spiffe://cluster.local/a"


async def test_a_request_that_is_not_signed_with_its_key_is_not_taken(
    client: Client, pod: Object
) -> None:
    """So the server does check."""
    key = await make_key("ED25519")
    forged = key.pkcs10[:-1] + bytes([key.pkcs10[-1] ^ 1])
    with pytest.raises(Invalid, match="invalid signature"):
        await client.create(POD_CERTIFICATE_REQUESTS, ANYWHERE, asked_with(pod, forged))

"""A pod that asks for certificates, and what the signers of its cluster do."""

from base64 import b64decode, b64encode
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kube.objects import Object, ObjectKey, encode
from kube.resources import (
    EVENTS,
    NODES,
    POD_CERTIFICATE_REQUESTS,
    PODS,
    SECRETS,
)
from syncer.entries import renewal_time
from syncer.kinds.pod_certificates import certificate_secret_name, timestamp
from syncer.reconcilers import tokens
from tests import signer
from tests.builders import a_node
from tests.fakes.apiserver import FakeApiServer
from tests.signer import Signer
from tests.unit.syncer.both import NAMESPACE, Both
from vcluster import api

ASKED = {
    "signerName": signer.NAME,
    "keyType": "ECDSAP256",
    "credentialBundlePath": "bundle.pem",
    "maxExpirationSeconds": 7200,
}
ONE = {"podCertificate": ASKED}
BUNDLE, TIMES = "podCertificate.v.0.bundle", "podCertificate.v.0.times"
WEB = ObjectKey("default", "web")


class Certified:
    """A bound pod, and what becomes of its certificates."""

    def __init__(self, both: Both, *sources: Object, shown: bool = True) -> None:
        self.both, self.signer = both, Signer()
        self.node = both.tenant.create(NODES, a_node())
        if shown:
            self.show_node()
        both.a_pod(*sources)
        both.tenant.bind(PODS, WEB, "node-1")
        self.pod = both.tenant.live(PODS, WEB)
        both.state.pods.put(encode(self.pod))
        self.key = ObjectKey(NAMESPACE, certificate_secret_name(self.pod["metadata"]["uid"]))

    def show_node(self) -> None:
        """The syncer sees the tenant's node."""
        self.both.state.copies[NODES.plural].put(encode(self.node))

    async def provide(self) -> float:
        """The pod has its node; when to look again."""
        await tokens.provide(self.both.super_state, self.both.state, self.pod)
        return await self.look()

    async def look(self) -> float:
        """What the syncer does when the time for it has come."""
        due = await tokens.renew(self.both.super_state, self.both.state, self.key)
        assert due is not None
        return due

    @property
    def requests(self) -> list[Object]:
        return in_order(self.both.tenant)

    def answer(self, request: Object, status: Object | None = None) -> None:
        """Do what a signer does: issue what is asked for, or say this."""
        key = ObjectKey("default", request["metadata"]["name"])
        patch = {"status": status or self.signer.issued(request)}
        self.both.tenant.patch(POD_CERTIFICATE_REQUESTS, key, patch, "status")

    @property
    def secret(self) -> Object:
        return self.both.super.live(SECRETS, self.key)

    @property
    def data(self) -> dict[str, str]:
        found = self.secret.get("data") or {}
        return {name: b64decode(text).decode() for name, text in found.items()}

    @property
    def mark(self) -> float:
        return renewal_time(self.secret["metadata"]["annotations"][api.EXPIRES_ANNOTATION])

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(one["reason"], one["message"]) for one in self.both.tenant.objects(EVENTS)]

    async def issued(self) -> str:
        """Let the pod get what it asks for; the file with its key and certificate."""
        await self.provide()
        self.answer(self.requests[-1])
        await self.look()
        return self.data[BUNDLE]

    def restart(self, **times: float) -> None:
        """The syncer's memory is lost; meanwhile it is as late as ``due`` and ``end`` say."""
        if times:
            text = f"{timestamp(times['due'])} {timestamp(times['end'])}"
            metadata = {"annotations": {api.EXPIRES_ANNOTATION: timestamp(times["due"])}}
            data = {TIMES: b64encode(text.encode()).decode()}
            patch = {"metadata": metadata, "data": data}
            self.both.super.patch(SECRETS, self.key, patch)
        state, secrets = self.both.state, self.both.super_state.mirrors[SECRETS.plural]
        state.renewals.issuing.clear()
        state.renewals.clear()
        secrets.put(encode(self.secret))
        entry = secrets.get(self.key)
        assert entry is not None
        state.token_found(self.key, entry)


def in_order(tenant: FakeApiServer) -> list[Object]:
    """The requests that were made, the oldest first."""
    made = [call.json["spec"] for call in tenant.script.calls("POST", "podcertificaterequests")]
    found = tenant.objects(POD_CERTIFICATE_REQUESTS)
    return sorted(found, key=lambda request: made.index(request["spec"]))


def public(pem: str) -> Any:
    """The public half of the key in a file."""
    return load_pem_private_key(pem.encode(), None).public_key()


def asked_for(request: Object) -> Any:
    """The public key that a request is about."""
    return x509.load_der_x509_csr(b64decode(request["spec"]["stubPKCS10Request"])).public_key()

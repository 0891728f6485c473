"""Whose certificate is it? The tenant is the one whose authority has signed it, and no name decides."""

import datetime
from collections.abc import Iterable
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kube.objects import Metadata, ObjectKey
from node_agent.tokens import Issuer, Token, Unauthenticated
from vcluster import api

CRITICALITY = verification.Criticality.AGNOSTIC


class _ConfigMap(msgspec.Struct, gc=False):
    metadata: Metadata
    data: dict[str, str] = {}


_decode = msgspec.json.Decoder(_ConfigMap).decode


class Authorities:
    """The authorities of all tenants, as the operator publishes them. An informer's store.

    A tenant key is the name of the root namespace that the ConfigMap is in. It counts only with the
    operator's label: no tenant can have a label under our prefix on what is mirrored.
    """

    def __init__(self) -> None:
        self._by_key: dict[ObjectKey, tuple[x509.Certificate, ...]] = {}
        self._issuers: dict[ObjectKey, Issuer] = {}

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        """See syncer.runtime.informer.Store."""
        found = _decode(raw)
        metadata = found.metadata
        key = ObjectKey(metadata.namespace, metadata.name)
        published = (
            metadata.labels.get(api.COMPONENT_LABEL) == api.CLIENT_CA_COMPONENT
            and api.UID_ANNOTATION not in metadata.annotations
        )
        try:
            text = found.data.get(api.CLIENT_CA_KEY, "") if published else ""
            authorities = tuple(x509.load_pem_x509_certificates(text.encode())) if text else ()
        except ValueError:
            authorities = ()  # an authority that cannot be read authenticates nobody
        self._by_key[key] = authorities
        self._issuers.pop(key, None)
        if authorities and (issuer := _issuer(found.data)):
            self._issuers[key] = issuer
        return key

    def remove(self, raw: bytes) -> None:
        """See syncer.runtime.informer.Store."""
        metadata = _decode(raw).metadata
        key = ObjectKey(metadata.namespace, metadata.name)
        self._by_key.pop(key, None)
        self._issuers.pop(key, None)

    def retain(self, keys: set[ObjectKey], resource_version: int) -> None:
        """See syncer.runtime.informer.Store."""
        self._by_key = {key: value for key, value in self._by_key.items() if key in keys}
        self._issuers = {key: value for key, value in self._issuers.items() if key in keys}

    def tenant_of(self, certificate: x509.Certificate | None, now: datetime.datetime) -> str:
        """The tenant key of whom the certificate identifies. Raises Unauthenticated.

        That the client has the certificate's key is TLS's own promise, with whatever certificate.
        """
        if certificate is None:
            raise Unauthenticated("no client certificate")
        try:
            hint = _signer(certificate)
            extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
            raise Unauthenticated("not a client certificate") from error
        tenants = {
            key.namespace
            for key, authorities in self._by_key.items()
            for authority in authorities
            if (hint is None or hint == _identifier(authority))
            and _signed_by(authority, certificate, now)
        }
        if not tenants:
            raise Unauthenticated("no tenant's authority has signed the certificate")
        if len(tenants) > 1:
            raise Unauthenticated("several tenants have the same authority")
        if ExtendedKeyUsageOID.CLIENT_AUTH not in extended.value:
            raise Unauthenticated("not a client certificate")
        if _common_names(certificate) != [api.KUBELET_CLIENT_USER]:
            raise Unauthenticated(f"not the certificate of {api.KUBELET_CLIENT_USER}")
        return tenants.pop()

    def issuer_of(self, token: Token) -> tuple[str, Issuer]:
        """The tenant key of whose token it is, and who can say more about it. Raises Unauthenticated."""
        found = [
            (key.namespace, issuer)
            for key, issuer in self._issuers.items()
            if issuer.key_id == token.key_id and issuer.has_signed(token)
        ]
        if not found:
            raise Unauthenticated("no tenant's key has signed the token")
        if len(found) > 1:
            raise Unauthenticated("several tenants have the same key")
        return found[0]

    def __len__(self) -> int:
        return len(self._by_key)


def _issuer(data: dict[str, str]) -> Issuer | None:
    """None where tenants' tokens are not taken."""
    key, server = data.get(api.TOKEN_KEY_KEY, ""), data.get(api.API_SERVER_KEY, "")
    if not (key and server):
        return None
    try:
        return Issuer.of(key.encode(), server, data[api.CLIENT_CA_KEY].encode())
    except ValueError:
        return None


def _signed_by(
    authority: x509.Certificate, certificate: x509.Certificate, now: datetime.datetime
) -> bool:
    """Whether this very authority signed the certificate itself, and both are valid now."""
    start = max(one.not_valid_before_utc for one in (authority, certificate))
    end = min(one.not_valid_after_utc for one in (authority, certificate))
    return start <= now <= end and _signed_by_at(authority, certificate, start)


@lru_cache(maxsize=4096)
def _signed_by_at(
    authority: x509.Certificate, certificate: x509.Certificate, now: datetime.datetime
) -> bool:
    """By the X.509 path validation of ``cryptography`` with no intermediates: what a client sends along
    is not looked at. An API server shows the same certificate with each connection and request, and
    but for the time the answer is always the same.
    """
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([authority]))
        .time(now)
        .max_chain_depth(0)
        .extension_policies(
            ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(), ee_policy=_LEAF_POLICY
        )
        .build_client_verifier()
    )
    try:
        verifier.verify(certificate, [])
    except (verification.VerificationError, ValueError):
        return False
    return True


def _no_authority(
    _policy: verification.Policy,
    _certificate: x509.Certificate,
    constraints: x509.BasicConstraints | None,
) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("an authority's certificate identifies no client")


# As for the web, but no alternative name is asked for: Kubernetes' clients have a subject only.
_LEAF_POLICY = (
    verification.ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, CRITICALITY, _no_authority)
    .require_present(x509.ExtendedKeyUsage, CRITICALITY, None)
)


def _signer(certificate: x509.Certificate) -> bytes | None:
    """Which key the certificate says has signed it: a hint where to look, no proof."""
    try:
        return certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier
    except x509.ExtensionNotFound:
        return None


@lru_cache(maxsize=4096)
def _identifier(authority: x509.Certificate) -> bytes | None:
    try:
        return authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _common_names(certificate: x509.Certificate) -> list[str]:
    attributes: Iterable[x509.NameAttribute[str | bytes]] = (
        certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    )
    return [str(attribute.value) for attribute in attributes]

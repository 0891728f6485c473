"""The Secrets of a root namespace, from and to credentials. Pure."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping

from vcluster import api
from vcluster.api import Object
from vcluster.control_plane.credentials import Credentials
from vcluster.control_plane.kubeconfig import kubeconfig
from vcluster.pki import certificates
from vcluster.pki.authority import KeyPair

COMPONENT_KUBECONFIG, COMPONENT_PKI = "kubeconfig", "pki"


def credentials_of(secrets: Iterable[Object]) -> Credentials:
    """The key pairs in the Secrets that are ours; damaged ones are left out."""
    names = {secret: name for name, secret in certificates.KUBECONFIG_SECRETS.items()}
    found: dict[str, KeyPair] = {}
    for secret in secrets:
        secret_name = secret["metadata"]["name"]
        name = names.get(secret_name, secret_name)
        certificate_key, key_key = _keys(name)
        data = secret.get("data") or {}
        try:
            found[name] = KeyPair(b64decode(data[certificate_key]), b64decode(data[key_key]))
        except (KeyError, Base64Error):
            continue
    return found


def secrets_of(
    namespace: str, tenant_name: str, server: str, credentials: Credentials
) -> list[Object]:
    """The Secrets that hold the credentials; the name of the tenant names the contexts."""
    authority = credentials[certificates.CLUSTER_AUTHORITY].certificate
    secrets = []
    for name, pair in credentials.items():
        certificate_key, key_key = _keys(name)
        data = {certificate_key: pair.certificate, key_key: pair.key}
        component, secret_name = COMPONENT_PKI, name
        if name in certificates.KUBECONFIG_SECRETS:
            component, secret_name = COMPONENT_KUBECONFIG, certificates.KUBECONFIG_SECRETS[name]
            data[api.KUBECONFIG_KEY] = kubeconfig(tenant_name, server, authority, name, pair)
        secrets.append(_secret(namespace, secret_name, component, data))
    return secrets


def _keys(name: str) -> tuple[str, str]:
    if name == certificates.SERVICE_ACCOUNT_KEY:
        return "service-account.pub", "service-account.key"
    return "tls.crt", "tls.key"


def _secret(namespace: str, name: str, component: str, data: Mapping[str, bytes]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {api.COMPONENT_LABEL: component},
        },
        "type": "kubernetes.io/tls" if "tls.crt" in data else "Opaque",
        "data": {key: b64encode(value).decode() for key, value in data.items()},
    }

"""Kubeconfig files of a tenant."""

from base64 import b64encode

import yaml

from vcluster.pki.authority import KeyPair


def kubeconfig(name: str, server: str, authority: bytes, user: str, pair: KeyPair) -> bytes:
    """A kubeconfig whose only context is named ``name``, with everything embedded."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": _text(authority)},
            }
        ],
        "users": [
            {
                "name": f"{name}-{user}",
                "user": {
                    "client-certificate-data": _text(pair.certificate),
                    "client-key-data": _text(pair.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-{user}"}}],
    }
    return yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False).encode()


def _text(data: bytes) -> str:
    return b64encode(data).decode()

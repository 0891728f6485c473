"""Kubeconfig files of a tenant."""

from base64 import b64encode
from functools import lru_cache

import yaml

from vcluster.pki.authority import KeyPair

KEPT = 1024
"""Files that are remembered: each pass over each tenant writes the same ones again."""


@lru_cache(KEPT)
def kubeconfig(
    name: str, server: str, authority: bytes, user: str, pair: KeyPair, server_name: str = ""
) -> bytes:
    """A kubeconfig whose only context is named ``name``, with everything embedded.

    ``server_name`` is what the server's certificate must be for, if not the host of ``server``.
    """
    cluster = {"server": server, "certificate-authority-data": _text(authority)}
    if server_name:
        cluster["tls-server-name"] = server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": cluster,
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

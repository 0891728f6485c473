"""The tenants, for shell completion: quickly or not at all."""

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kube.connection import Credentials, InvalidKubeconfig, load_kubeconfig
from vcluster import api
from vcluster.cli.connection import Target
from vcluster.cli.output import Failure

TIMEOUT_SECONDS = 0.5  # somebody waits for the tab key

_PATH = f"/apis/{api.API_VERSION}/{api.VIRTUAL_CLUSTER_PLURAL}"


def tenants_quickly(target: Target) -> list[tuple[dict[str, Any], str]]:
    """Metadata and phase of each tenant; nothing if the super cluster is not there at once.

    Not the official client: importing it takes longer than all of this. Kubeconfigs that need a
    helper program are not used.
    """
    try:
        source = target.source()
        path = Path(source.kubeconfig)
        listed = _get(load_kubeconfig(path.read_bytes(), path.parent))
        return [
            (item["metadata"], (item.get("status") or {}).get("phase", ""))
            for item in msgspec.json.decode(listed)["items"]
        ]
    except (
        Failure,
        InvalidKubeconfig,
        OSError,
        http.client.HTTPException,
        ValueError,
        KeyError,
        TypeError,
    ):
        return []


def _get(credentials: Credentials) -> bytes:
    server = urlsplit(credentials.server)
    host, port = server.hostname or "", server.port
    context = credentials.ssl_context()
    connection = (
        http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
        if context
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    )
    headers = {"Accept": "application/json"}
    if credentials.token:
        headers["Authorization"] = f"Bearer {credentials.token}"
    try:
        connection.request("GET", server.path + _PATH, headers=headers)
        return connection.getresponse().read()
    finally:
        connection.close()

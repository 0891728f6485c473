"""How kopf reaches the super cluster."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import kopf
import yaml


def connection(kubeconfig: str, settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    """From the current context of a kubeconfig file; empty: as the pod that we run in."""
    if not kubeconfig:
        return kopf.login_with_service_account(settings=settings)
    path = Path(kubeconfig)
    document = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    context = _named(document, "context", document["current-context"])
    cluster = _named(document, "cluster", context["cluster"])
    user = _named(document, "user", context["user"])
    return kopf.ConnectionInfo(
        server=cluster["server"],
        insecure=cluster.get("insecure-skip-tls-verify"),
        ca_data=_data(cluster, "certificate-authority", path),
        certificate_data=_data(user, "client-certificate", path),
        private_key_data=_data(user, "client-key", path),
        token=user.get("token"),
        scheme="Bearer" if user.get("token") else None,
        default_namespace=context.get("namespace", "default"),
    )


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Raises ValueError that names what is missing."""
    for entry in document.get(f"{kind}s") or []:
        if entry["name"] == name:
            return dict(entry[kind])
    raise ValueError(f"the kubeconfig has no {kind} named {name!r}")


def _data(entry: dict[str, Any], field: str, kubeconfig: Path) -> str | None:
    """The PEM text that a kubeconfig holds, or names a file of."""
    if inline := entry.get(f"{field}-data"):
        return b64decode(str(inline)).decode()
    if file := entry.get(field):
        return (kubeconfig.parent / str(file)).read_text()
    return None

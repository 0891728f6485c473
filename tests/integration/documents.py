"""The OpenAPI documents of a running API server."""

import functools
import subprocess

import msgspec

from tests.integration.super_cluster import SuperCluster
from tests.openapi import Schemas


@functools.cache
def schemas(super_cluster: SuperCluster, path: str) -> Schemas:
    """The schemas of one API: ``api/v1``, ``apis/discovery.k8s.io/v1``."""
    printed = subprocess.run(
        [
            str(super_cluster.state.binaries / "kubectl"),
            f"--kubeconfig={super_cluster.kubeconfig('admin')}",
            "get",
            "--raw",
            f"/openapi/v3/{path}",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return Schemas.from_document(msgspec.json.decode(printed.stdout))

"""Whether the components of a running control plane are ready, asked as its operator."""

import ssl
from types import TracebackType
from typing import Self

from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.components import COMPONENTS
from vcluster.control_plane.plan import KUBE_APISERVER, Plan, certificate_file, key_file
from vcluster.pki import certificates


class Readiness:
    """Connections to each component of one control plane; close it after use."""

    def __init__(self, plan: Plan) -> None:
        path = plan.placement.path
        authority = certificate_file(certificates.CLUSTER_AUTHORITY)
        client = certificates.OPERATOR_CLIENT
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(path(authority))
        tls.load_cert_chain(path(certificate_file(client)), path(key_file(client)))
        self._clusters = {
            name: Cluster.with_tls(f"https://{plan.placement.address}:{port}", tls)
            for name, port in plan.placement.ports.items()
        }

    @property
    def tenant(self) -> Cluster:
        """The tenant's API server."""
        return self._clusters[KUBE_APISERVER]

    def waiting_for(self) -> str:
        """The first component that is not ready, and what it says; empty: all are."""
        for component in COMPONENTS:
            ready, answer = self._clusters[component.name].probe(component.ready)
            if not ready:
                return f"{component.name}: {answer}"
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for cluster in self._clusters.values():
            cluster.close()

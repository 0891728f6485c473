"""Whether the components of a running control plane are ready, asked as its operator."""

import ssl
from types import TracebackType
from typing import Self

from vcluster.control_plane.cluster import Cluster, Unreachable
from vcluster.control_plane.components import COMPONENTS
from vcluster.control_plane.plan import KUBE_APISERVER, Plan, certificate_file, key_file
from vcluster.pki import certificates


class Readiness:
    """Connections to each component of one control plane; close it after use."""

    def __init__(self, plan: Plan) -> None:
        """Raises Unreachable if the files of the operator's identity cannot be used."""
        tls = _identity(plan)
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


def _identity(plan: Plan) -> ssl.SSLContext:
    """One for all components: to read the files costs more than a handshake."""
    path, client = plan.placement.path, certificates.OPERATOR_CLIENT
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        tls.load_verify_locations(path(certificate_file(certificates.CLUSTER_AUTHORITY)))
        tls.load_cert_chain(path(certificate_file(client)), path(key_file(client)))
    except OSError as error:  # the tenant is just being taken away, say
        raise Unreachable(f"the operator's certificate for the tenant: {error}") from error
    return tls

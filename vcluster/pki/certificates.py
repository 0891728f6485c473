"""The certificates that a control plane needs, and when one must be renewed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vcluster import api
from vcluster.pki.authority import Subject, Usage, Validity

CLUSTER_AUTHORITY = "ca"
FRONT_PROXY_AUTHORITY = "front-proxy-ca"
ETCD_AUTHORITY = "etcd-ca"
"""The provider's; the operator only uses it."""
OWN_AUTHORITIES = (CLUSTER_AUTHORITY, FRONT_PROXY_AUTHORITY)

SERVICE_ACCOUNT_KEY = "service-account"
"""Signs the tenant's tokens: kept over everything, since all tokens die with it."""

SERVING = "kube-apiserver"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
FRONT_PROXY_CLIENT = "front-proxy-client"
ETCD_CLIENT = "etcd-client"
CONTROLLER_MANAGER_SERVING = "kube-controller-manager"
OPERATOR_CLIENT = "operator-client"

ADMIN, EMERGENCY = "admin", "emergency"
CONTROLLER_MANAGER, SYNCER = "controller-manager", "syncer"
KUBECONFIG_SECRETS = {
    ADMIN: api.ADMIN_KUBECONFIG_SECRET,
    EMERGENCY: api.EMERGENCY_KUBECONFIG_SECRET,
    CONTROLLER_MANAGER: api.CONTROLLER_MANAGER_KUBECONFIG_SECRET,
    SYNCER: api.SYNCER_KUBECONFIG_SECRET,
}
"""The client certificates that are handed out inside a kubeconfig, and the Secrets that hold it."""

AUTHORITY_LIFETIME = timedelta(days=3650)
CERTIFICATE_LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of a control plane: who signs it, for whom, to prove what."""

    name: str
    authority: str
    subject: Subject
    usage: Usage
    hosts: Sequence[str] = ()


def control_plane_certificates(key: str, kubernetes_address: str) -> tuple[Certificate, ...]:
    """The table. ``kubernetes_address`` is the tenant's address of ``default/kubernetes``."""
    local = ("localhost", "127.0.0.1")
    serving = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        *local,
        kubernetes_address,
    )
    masters = ("system:masters",)
    server, client = Usage.SERVER, Usage.CLIENT
    cluster = CLUSTER_AUTHORITY
    return (
        Certificate(SERVING, cluster, Subject("kube-apiserver"), server, serving),
        Certificate(
            CONTROLLER_MANAGER_SERVING, cluster, Subject("kube-controller-manager"), server, local
        ),
        Certificate(KUBELET_CLIENT, cluster, Subject(api.KUBELET_CLIENT_USER), client),
        Certificate(
            FRONT_PROXY_CLIENT, FRONT_PROXY_AUTHORITY, Subject("front-proxy-client"), client
        ),
        Certificate(ETCD_CLIENT, ETCD_AUTHORITY, Subject(key), client),
        Certificate(OPERATOR_CLIENT, cluster, Subject("virtualcluster:operator", masters), client),
        Certificate(ADMIN, cluster, Subject(api.ADMIN_USER, (api.ADMIN_GROUP,)), client),
        Certificate(EMERGENCY, cluster, Subject("virtualcluster:emergency", masters), client),
        Certificate(CONTROLLER_MANAGER, cluster, Subject(api.CONTROLLER_MANAGER_USER), client),
        Certificate(SYNCER, cluster, Subject(api.SYNCER_USER, (api.SYNCER_GROUP,)), client),
    )


def renewal_due(validity: Validity, now: datetime) -> bool:
    """Whether two thirds of its life are over; so a third remains to notice that renewal fails."""
    return now >= validity.start + (validity.end - validity.start) * 2 / 3

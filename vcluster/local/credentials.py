"""The super cluster's authorities, certificates and kubeconfigs: made once, renewed when due."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from vcluster.control_plane.kubeconfig import kubeconfig
from vcluster.local.state import ADDRESS, State
from vcluster.pki.authority import (
    CertificateAuthority,
    KeyPair,
    Subject,
    Usage,
    Validity,
    create_signing_key,
    now,
)
from vcluster.pki.certificates import AUTHORITY_LIFETIME, CERTIFICATE_LIFETIME, renewal_due
from vcluster.supervision import host

CLUSTER, FRONT_PROXY, ETCD, NODE_AGENT = "ca", "front-proxy-ca", "etcd/ca", "node-agent/ca"
AUTHORITIES = {
    CLUSTER: "super-cluster",
    FRONT_PROXY: "super-cluster-front-proxy",
    ETCD: "etcd",
    NODE_AGENT: "node-agents",
}
"""The authorities by their file's stem below ``pki``, with their names."""

SERVICE_ACCOUNT_KEY = "service-account"

LOOPBACK = ("localhost", ADDRESS)
SERVICE = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
SERVICE_ADDRESS = "10.96.0.1"

ETCD_USER = "super"
"""etcd's user of the super cluster; its keys begin with ``/super/``."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate: its file's stem below ``pki``, its signer, for whom, to prove what."""

    stem: str
    authority: str
    subject: Subject
    usage: Usage
    hosts: tuple[str, ...] = ()


CERTIFICATES = (
    Certificate(
        "kube-apiserver",
        CLUSTER,
        Subject("kube-apiserver"),
        Usage.SERVER,
        (*SERVICE, *LOOPBACK, SERVICE_ADDRESS),
    ),
    Certificate(
        "kube-controller-manager",
        CLUSTER,
        Subject("kube-controller-manager"),
        Usage.SERVER,
        LOOPBACK,
    ),
    Certificate("kube-scheduler", CLUSTER, Subject("kube-scheduler"), Usage.SERVER, LOOPBACK),
    Certificate(
        "kube-apiserver-kubelet-client",
        CLUSTER,
        Subject("virtualcluster:kubelet-client"),
        Usage.CLIENT,
    ),
    Certificate("front-proxy-client", FRONT_PROXY, Subject("front-proxy-client"), Usage.CLIENT),
    # Of the agent that stands in for the simulated nodes; its address is the API servers' choice.
    Certificate("node-agent/server", NODE_AGENT, Subject("node-agent"), Usage.SERVER, LOOPBACK),
    Certificate("etcd/server", ETCD, Subject("etcd"), Usage.PEER, LOOPBACK),
    Certificate("etcd/root", ETCD, Subject("root"), Usage.CLIENT),
    Certificate("etcd/super", ETCD, Subject(ETCD_USER), Usage.CLIENT),
)

IDENTITIES = {
    "admin": Subject("virtualcluster:provider", ("system:masters",)),
    "kube-controller-manager": Subject("system:kube-controller-manager"),
    "kube-scheduler": Subject("system:kube-scheduler"),
    "kwok": Subject("virtualcluster:kwok"),
    "egress-proxy": Subject("virtualcluster:egress-proxy"),
    "node-agent": Subject("virtualcluster:node-agent"),
    "operator": Subject("virtualcluster:operator"),
    "syncer": Subject("virtualcluster:super-syncer"),
    "volumes": Subject("virtualcluster:volumes"),
}
"""Whom a kubeconfig is made for."""


def ensure(state: State, port: int) -> None:
    """Make what is missing, broken or old; the rest stays as it is, byte for byte."""
    moment = now()
    authorities = {stem: _authority(state.pki / stem, name) for stem, name in AUTHORITIES.items()}
    for certificate in CERTIFICATES:
        _certificate(state.pki, certificate, authorities[certificate.authority], moment)
    for name, subject in IDENTITIES.items():
        pair = _certificate(
            state.pki,
            Certificate(f"clients/{name}", CLUSTER, subject, Usage.CLIENT),
            authorities[CLUSTER],
            moment,
        )
        server = f"https://{ADDRESS}:{port}"
        text = kubeconfig("super", server, authorities[CLUSTER].certificate, name, pair).decode()
        _write(state.kubeconfig(name), text)
    if not _read(state.pki / SERVICE_ACCOUNT_KEY):
        _save(state.pki / SERVICE_ACCOUNT_KEY, create_signing_key())


def ensure_datastore(state: State) -> None:
    """Only what etcd needs: for an existing cluster as super cluster."""
    moment = now()
    authority = _authority(state.pki / ETCD, AUTHORITIES[ETCD])
    for certificate in CERTIFICATES:
        if certificate.authority == ETCD:
            _certificate(state.pki, certificate, authority, moment)


def issue(state: State, wanted: Certificate) -> KeyPair:
    """A further certificate below ``pki``, kept while it is good."""
    authority = _authority(state.pki / wanted.authority, AUTHORITIES[wanted.authority])
    return _certificate(state.pki, wanted, authority, now())


def _authority(path: Path, name: str) -> CertificateAuthority:
    pair = _read(path)
    if pair is None or not pair.whole:
        # Not renewed: ten years outlive any local cluster, and all that it signed hangs on it.
        lifetime: timedelta = AUTHORITY_LIFETIME
        pair = CertificateAuthority.create(name, Validity.lasting(lifetime, now())).pair
        _save(path, pair)
    return CertificateAuthority(pair)


def _certificate(
    folder: Path, wanted: Certificate, authority: CertificateAuthority, moment: datetime
) -> KeyPair:
    path = folder / wanted.stem
    pair = _read(path)
    if (
        pair is None
        or not pair.whole
        or not authority.issued(pair)
        or renewal_due(pair.validity, moment)
    ):
        validity = Validity.lasting(CERTIFICATE_LIFETIME, moment)
        pair = authority.issue(wanted.subject, wanted.usage, validity, wanted.hosts)
        _save(path, pair)
    return pair


def _read(path: Path) -> KeyPair | None:
    try:
        return KeyPair(_certificate_file(path).read_bytes(), _key_file(path).read_bytes())
    except FileNotFoundError:
        return None


def _save(path: Path, pair: KeyPair) -> None:
    # A kill between the two leaves a pair that is not whole, which is then made anew.
    _write(_key_file(path), pair.key.decode())
    _write(_certificate_file(path), pair.certificate.decode())


def _write(path: Path, text: str) -> None:
    host.private_directory(path.parent)
    host.write_private(path, text)


def _certificate_file(path: Path) -> Path:
    return path.with_name(path.name + ".crt")


def _key_file(path: Path) -> Path:
    return path.with_name(path.name + ".key")

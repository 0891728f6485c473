"""What the local super cluster is made of: one ordered list of programs. Pure: no I/O."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vcluster import api
from vcluster.local.credentials import ETCD_USER
from vcluster.local.options import Options
from vcluster.local.real_nodes.images import BUSYBOX
from vcluster.local.real_nodes.site import AGENT_PORT, Site
from vcluster.local.state import ADDRESS, State
from vcluster.supervision import Program

GROUP = "super"
"""The supervisor's group of these programs; each tenant has a group of its own."""

SERVICE_RANGE = "10.96.0.0/16"
ISSUER = (
    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    "--service-account-jwks-uri=https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
)
TENANT_SERVICE_POOL = "10.112.0.0/12"
NODE_RANGE = "10.192.0.0/16"
POD_RANGE = "10.128.0.0/12"
"""Not routed anywhere: these pods are simulated. No other range here overlaps with it."""

(
    ETCD,
    API_SERVER,
    CONTROLLER_MANAGER,
    SCHEDULER,
    KWOK,
    OPERATOR,
    SYNCER,
    NODE_AGENT,
    EGRESS_PROXY,
) = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "operator",
    "syncer",
    "node-agent",
    "egress-proxy",
)
"""Further syncers are called syncer-2, syncer-3, ..."""
CLUSTER = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK)

MODULES = {
    OPERATOR: "vcluster.operator",
    SYNCER: "syncer",
    NODE_AGENT: "node_agent",
    EGRESS_PROXY: "egress_proxy",
}

PRIORITY = {ETCD: 2, API_SERVER: 1, OPERATOR: -1}
"""The others, and the tenants' programs, have 0. The operator is stopped first: it starts what it finds
stopped."""
# kwok gives up a write that fails while etcd is away, and does not look at the pod again before its watch
# ends, up to ten minutes later. A kubelet tries again; a new kwok looks at all pods.
FOLLOWS = {KWOK: ETCD}

# kwok holds a lease per node; a new kwok would wait until those of a killed one expire.
KWOK_START = (
    'until "$1" --kubeconfig="$2" --request-timeout=5s delete leases --all -n kube-node-lease'
    ' --wait=false; do sleep 0.5; done >/dev/null; shift 2; exec "$@"'
)


def wanted(options: Options) -> tuple[str, ...]:
    """The programs of this super cluster, in the order in which they need each other."""
    # An existing cluster's nodes are not ours: whoever runs it decides about node agents.
    cluster = (ETCD,) if options.kubeconfig else CLUSTER
    return cluster + services(options)


def services(options: Options) -> tuple[str, ...]:
    """Those of them that are ours: the operator, the syncers, the egress proxy and the node agent."""
    if not options.services:
        return ()
    agents = () if options.kubeconfig else (NODE_AGENT,)
    return (OPERATOR, *syncers(options), EGRESS_PROXY, *agents)


def syncers(options: Options) -> tuple[str, ...]:
    """The names of the syncers."""
    return (SYNCER, *(f"{SYNCER}-{number}" for number in range(2, options.syncers + 1)))


def module(name: str) -> str:
    """The Python module of a program that is ours; empty for others."""
    return MODULES.get(SYNCER if name.startswith(f"{SYNCER}-") else name, "")


def programs(
    state: State,
    ports: Mapping[str, int],
    names: Sequence[str],
    options: Options,
    digests: Mapping[str, str],
    site: Site | None = None,
) -> list[Program]:
    """The named programs. A changed digest (of files that a program reads once) restarts it.

    With a site of real nodes, pods reach API servers at its gateway.
    """
    return [
        Program(
            name=name,
            command=_command(name, state, ports, options),
            log_file=state.logs / f"{name}.log",
            directory=state.directory,
            environment=_environment(name, state, ports, options.kubeconfig, site)
            | ({"VC_FILES": digests[name]} if name in digests else {}),
            priority=PRIORITY.get(name, 0),
            follows=FOLLOWS.get(name, ""),
        )
        for name in names
    ]


def _command(
    name: str, state: State, ports: Mapping[str, int], options: Options
) -> tuple[str, ...]:
    if ours := module(name):
        return sys.executable, "-m", ours
    flags = {
        ETCD: _etcd,
        API_SERVER: _api_server,
        CONTROLLER_MANAGER: _controller_manager,
        SCHEDULER: _scheduler,
        KWOK: _kwok,
    }[name](state, ports)
    program = str(state.binaries / name)
    if name == KWOK:
        kubectl, kubeconfig = state.binaries / "kubectl", state.kubeconfig(KWOK)
        return "/bin/sh", "-c", KWOK_START, KWOK, str(kubectl), str(kubeconfig), program, *flags
    if name == CONTROLLER_MANAGER and options.cpu_nodes + options.gpu_nodes:
        # A machine that is busy or was asleep must not lose its simulated nodes for it.
        flags = (*flags, "--node-monitor-grace-period=2m")
    return program, *flags


def _etcd(state: State, ports: Mapping[str, int]) -> tuple[str, ...]:
    pki = state.etcd_pki
    client = f"https://{ADDRESS}:{ports['etcd']}"
    peer = f"https://{ADDRESS}:{ports['etcd-peer']}"
    return (
        f"--data-dir={state.etcd_data}",
        "--name=local",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        "--client-cert-auth",
        f"--trusted-ca-file={pki / 'ca.crt'}",
        f"--cert-file={pki / 'server.crt'}",
        f"--key-file={pki / 'server.key'}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={pki / 'ca.crt'}",
        f"--peer-cert-file={pki / 'server.crt'}",
        f"--peer-key-file={pki / 'server.key'}",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    )


def _api_server(state: State, ports: Mapping[str, int]) -> tuple[str, ...]:
    pki = state.pki
    return (
        f"--etcd-servers=https://{ADDRESS}:{ports['etcd']}",
        f"--etcd-prefix=/{ETCD_USER}",
        f"--etcd-cafile={pki / 'etcd/ca.crt'}",
        f"--etcd-certfile={pki / 'etcd/super.crt'}",
        f"--etcd-keyfile={pki / 'etcd/super.key'}",
        "--etcd-compaction-interval=0",
        f"--bind-address={ADDRESS}",
        f"--secure-port={ports[API_SERVER]}",
        f"--advertise-address={ADDRESS}",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
        *ISSUER,
        f"--service-account-key-file={pki / 'service-account.crt'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'kube-apiserver-kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kube-apiserver-kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--audit-policy-file={state.configuration / 'audit-policy.yaml'}",
        f"--audit-log-path={state.audit_log}",
        "--audit-log-mode=batch",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
    )


def _controller_manager(state: State, ports: Mapping[str, int]) -> tuple[str, ...]:
    pki = state.pki
    return (
        *_delegating(CONTROLLER_MANAGER, state, ports),
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'service-account.key'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )


def _scheduler(state: State, ports: Mapping[str, int]) -> tuple[str, ...]:
    return (
        *_delegating(SCHEDULER, state, ports),
        "--kube-api-qps=400",
        "--kube-api-burst=800",
    )


def _delegating(name: str, state: State, ports: Mapping[str, int]) -> tuple[str, ...]:
    kubeconfig = state.kubeconfig(name)
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={ADDRESS}",
        f"--secure-port={ports[name]}",
        f"--tls-cert-file={state.pki / f'{name}.crt'}",
        f"--tls-private-key-file={state.pki / f'{name}.key'}",
        "--leader-elect=false",
    )


def _kwok(state: State, _ports: Mapping[str, int]) -> tuple[str, ...]:
    return (
        f"--kubeconfig={state.kubeconfig(KWOK)}",
        f"--config={state.configuration / 'stages.yaml'}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        f"--cidr={POD_RANGE}",
        "--v=WARN",
    )


def _environment(
    name: str, state: State, ports: Mapping[str, int], kubeconfig: str, site: Site | None
) -> dict[str, str]:
    import_path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    if name == OPERATOR:
        return import_path | {
            "OPERATOR_SUPER_KUBECONFIG": kubeconfig or str(state.kubeconfig(OPERATOR)),
            "OPERATOR_STATE_DIRECTORY": str(state.directory),
            "OPERATOR_BINARIES_DIRECTORY": str(state.binaries),
            "OPERATOR_ETCD_ENDPOINTS": f"https://{ADDRESS}:{ports['etcd']}",
            "OPERATOR_ETCD_CA_DIRECTORY": str(state.etcd_pki),
            "OPERATOR_SERVICE_POOL": TENANT_SERVICE_POOL,
            "OPERATOR_PORT_FILE": str(state.port_file(OPERATOR)),
            "OPERATOR_NODE_AGENT_CA": "" if kubeconfig else str(state.node_agent_pki / "ca.crt"),
            "OPERATOR_GATEWAY_ADDRESS": str(site.gateway) if site else "",
            "OPERATOR_EGRESS_PROXY": "true",
        }
    if module(name) == MODULES[SYNCER]:
        return import_path | _syncer(name, state, kubeconfig, site)
    if name == EGRESS_PROXY:
        return import_path | _egress_proxy(state, kubeconfig, site)
    if name == NODE_AGENT:
        return import_path | {
            "NODE_AGENT_SUPER_KUBECONFIG": str(state.kubeconfig(NODE_AGENT)),
            "NODE_AGENT_ADDRESS": ADDRESS,
            "NODE_AGENT_PORT": str(ports[NODE_AGENT]),
            "NODE_AGENT_CERTIFICATE": str(state.node_agent_pki / "server.crt"),
            "NODE_AGENT_KEY": str(state.node_agent_pki / "server.key"),
            "NODE_AGENT_PORT_FILE": str(state.port_file(NODE_AGENT)),
        }
    return {}


def _syncer(name: str, state: State, kubeconfig: str, site: Site | None) -> dict[str, str]:
    return {
        "SYNCER_MEMBER": name,
        "SYNCER_SUPER_KUBECONFIG": kubeconfig or str(state.kubeconfig(SYNCER)),
        "SYNCER_PORT_FILE": str(state.port_file(name)),
        "SYNCER_DENIED_CIDRS": "" if kubeconfig else ",".join(_denied(site)),
        "SYNCER_POD_CIDRS": "" if kubeconfig else ",".join(_pods(site)),
        "SYNCER_GATEWAY_ADDRESS": str(site.gateway) if site else "",
        "SYNCER_HOSTS_IMAGE": BUSYBOX if site else "",
        "SYNCER_NODE_AGENT_PORT": _agent_port(site),
    }


def _egress_proxy(state: State, kubeconfig: str, site: Site | None) -> dict[str, str]:
    return {
        "EGRESS_PROXY_SUPER_KUBECONFIG": kubeconfig or str(state.kubeconfig(EGRESS_PROXY)),
        "EGRESS_PROXY_TENANTS_DIRECTORY": str(state.tenants),
        # Where simulated pods say that they are, there may be others, on this machine's network.
        "EGRESS_PROXY_DENIED_CIDRS": "" if kubeconfig else POD_RANGE,
        "EGRESS_PROXY_NODE_AGENT_PORT": _agent_port(site),
        "EGRESS_PROXY_PORT_FILE": str(state.port_file(EGRESS_PROXY)),
    }


def _agent_port(site: Site | None) -> str:
    """Of real nodes' agents; simulated nodes tell that of theirs, and other clusters have the usual one."""
    return str(AGENT_PORT if site else api.NODE_AGENT_PORT)


def _pods(site: Site | None) -> tuple[str, ...]:
    """The ranges of all pods, simulated and real."""
    return POD_RANGE, *((str(site.pod_range),) if site else ())


def _denied(site: Site | None) -> tuple[str, ...]:
    """The super cluster's own addresses, which no tenant's endpoints may point at."""
    real = (str(site.link), str(site.uplink)) if site else ()
    return SERVICE_RANGE, NODE_RANGE, *real

"""The tenant's kube-apiserver: stock, on the shared etcd, slim."""

from collections.abc import Callable

import msgspec

from vcluster import api
from vcluster.control_plane import full_datastore
from vcluster.control_plane.plan import (
    FEATURE_GATES,
    GARBAGE_COLLECTION,
    KUBE_APISERVER,
    NODE_AGENT_AUTHORITY,
    Plan,
    certificate_file,
    key_file,
    pair_files,
)
from vcluster.datastore.shared import prefix
from vcluster.pki import certificates
from vcluster.provisioners.workload import Workload

AUTHENTICATION_FILE = "authentication.json"
AUDIT_POLICY_FILE = "audit-policy.json"
AUDIT_LOG = "audit.log"
EGRESS_FILE = "egress-selector.json"
SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"

STOP_SECONDS = 2
"""It would wait 10 s for its clients to hang up; its state is in etcd, so nothing needs that."""

NEEDS = (
    certificates.SERVING,
    certificates.KUBELET_CLIENT,
    certificates.FRONT_PROXY_CLIENT,
    certificates.ETCD_CLIENT,
)

# Strangers may ask whether it lives, and nothing else.
AUTHENTICATION = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AuthenticationConfiguration",
    "anonymous": {
        "enabled": True,
        "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")],
    },
}
# Who did what, never with which content.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*", "/metrics"]},
        {"level": "Metadata"},
    ],
}
# To whom it connects because a tenant's objects say so: "cluster" is the way to Services, pods and
# nodes, "controlplane" that to webhooks by URL. Only etcd, the provider's word, is reached directly.
EGRESS_SELECTOR = {
    "apiVersion": "apiserver.k8s.io/v1beta1",
    "kind": "EgressSelectorConfiguration",
    "egressSelections": [
        {
            "name": name,
            "connection": {
                "proxyProtocol": "HTTPConnect",
                # Relative to where the program runs: the system takes no long paths of sockets.
                "transport": {"uds": {"udsName": api.EGRESS_SOCKET}},
            },
        }
        for name in ("cluster", "controlplane")
    ],
}


def render(plan: Plan) -> Workload:
    """The workload; its certificates are read again when they change."""
    pairs = pair_files(plan.credentials, *NEEDS)
    cluster = certificate_file(certificates.CLUSTER_AUTHORITY)
    front_proxy = certificate_file(certificates.FRONT_PROXY_AUTHORITY)
    authorities = {
        cluster: plan.credentials[certificates.CLUSTER_AUTHORITY].certificate,
        front_proxy: plan.credentials[certificates.FRONT_PROXY_AUTHORITY].certificate,
    }
    policies = {full_datastore.POLICIES_FILE: full_datastore.policies(plan.limits)}
    read_once = {
        certificate_file(certificates.ETCD_AUTHORITY): plan.etcd_authority,
        AUDIT_POLICY_FILE: msgspec.json.encode(AUDIT_POLICY),
        AUTHENTICATION_FILE: msgspec.json.encode(AUTHENTICATION),
        full_datastore.CONFIGURATION_FILE: full_datastore.configuration(
            plan.placement.path(full_datastore.DIRECTORY)
        ),
        **pair_files(plan.credentials, certificates.SERVICE_ACCOUNT_KEY),
    }
    if plan.node_agent_authority:
        read_once[certificate_file(NODE_AGENT_AUTHORITY)] = plan.node_agent_authority
    if plan.egress_proxy:
        read_once[EGRESS_FILE] = msgspec.json.encode(EGRESS_SELECTOR)
    return Workload(
        name=KUBE_APISERVER,
        program=KUBE_APISERVER,
        arguments=_arguments(plan),
        files=pairs | authorities | policies | read_once,
        reloaded=frozenset(pairs | authorities | policies),
        environment=GARBAGE_COLLECTION,
        stop_seconds=STOP_SECONDS,
    )


def _arguments(plan: Plan) -> tuple[str, ...]:
    file = plan.placement.path
    values = {
        **_place(plan),
        **_access(file),
        **_kubelets(plan),
        **({"egress-selector-config-file": file(EGRESS_FILE)} if plan.egress_proxy else {}),
        # What it serves beyond the defaults.
        "feature-gates": FEATURE_GATES,
        "runtime-config": "scheduling.k8s.io/v1beta1=true",
        "admission-control-config-file": file(full_datastore.CONFIGURATION_FILE),
        # What it tells.
        "audit-policy-file": file(AUDIT_POLICY_FILE),
        "audit-log-path": file(f"logs/{AUDIT_LOG}"),
        "audit-log-mode": "batch",
        "audit-log-batch-max-wait": "1s",
        "audit-log-maxsize": 20,
        "audit-log-maxbackup": 2,
        "profiling": "false",
    }
    return tuple(f"--{name}={value}" for name, value in values.items())


def _place(plan: Plan) -> dict[str, object]:
    place = plan.placement
    file = place.path
    return {
        # Where it listens. On loopback only the endpoint reconciler "none" is accepted.
        "bind-address": place.address,
        "secure-port": place.ports[KUBE_APISERVER],
        "advertise-address": place.address,
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": plan.service_cidr,
        "tls-cert-file": file(certificate_file(certificates.SERVING)),
        "tls-private-key-file": file(key_file(certificates.SERVING)),
        # Where its objects are. The shared etcd compacts by itself.
        "etcd-servers": plan.etcd_endpoints,
        "etcd-prefix": prefix(plan.key).rstrip("/"),
        "etcd-compaction-interval": "0",
        "etcd-cafile": file(certificate_file(certificates.ETCD_AUTHORITY)),
        "etcd-certfile": file(certificate_file(certificates.ETCD_CLIENT)),
        "etcd-keyfile": file(key_file(certificates.ETCD_CLIENT)),
    }


def _access(file: Callable[[str], str]) -> dict[str, object]:
    return {
        # Who may do what.
        "client-ca-file": file(certificate_file(certificates.CLUSTER_AUTHORITY)),
        "authentication-config": file(AUTHENTICATION_FILE),
        "authorization-mode": "Node,RBAC",
        "allow-privileged": "true",
        "service-account-issuer": SERVICE_ACCOUNT_ISSUER,
        # Else the address that it advertises, which pods do not reach.
        "service-account-jwks-uri": f"{SERVICE_ACCOUNT_ISSUER}/openid/v1/jwks",
        "service-account-signing-key-file": file(key_file(certificates.SERVICE_ACCOUNT_KEY)),
        "service-account-key-file": file(certificate_file(certificates.SERVICE_ACCOUNT_KEY)),
        # Extension API servers.
        "requestheader-client-ca-file": file(certificate_file(certificates.FRONT_PROXY_AUTHORITY)),
        "requestheader-allowed-names": certificates.FRONT_PROXY_CLIENT,
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": file(certificate_file(certificates.FRONT_PROXY_CLIENT)),
        "proxy-client-key-file": file(key_file(certificates.FRONT_PROXY_CLIENT)),
    }


def _kubelets(plan: Plan) -> dict[str, object]:
    """How it reaches logs and containers: through the node agents, and nobody else is trusted."""
    file = plan.placement.path
    # Without node agents nobody is to be trusted; left out, the flag would mean everybody.
    agents = NODE_AGENT_AUTHORITY if plan.node_agent_authority else certificates.CLUSTER_AUTHORITY
    return {
        "kubelet-client-certificate": file(certificate_file(certificates.KUBELET_CLIENT)),
        "kubelet-client-key": file(key_file(certificates.KUBELET_CLIENT)),
        "kubelet-certificate-authority": file(certificate_file(agents)),
        "kubelet-preferred-address-types": f"{api.NODE_AGENT_ADDRESS_TYPE},InternalIP,Hostname",
    }

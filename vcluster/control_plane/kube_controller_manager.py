"""The tenant's kube-controller-manager: only the controllers whose work is not the super cluster's."""

from vcluster import api
from vcluster.control_plane.kubeconfig import kubeconfig
from vcluster.control_plane.plan import (
    FEATURE_GATES,
    GARBAGE_COLLECTION,
    KUBE_CONTROLLER_MANAGER,
    Plan,
    certificate_file,
    key_file,
    pair_files,
)
from vcluster.pki import certificates
from vcluster.provisioners.workload import Workload

NEEDS = (certificates.CONTROLLER_MANAGER_SERVING, certificates.CONTROLLER_MANAGER)
KUBECONFIG_FILE = "kube-controller-manager.kubeconfig"

NOT_RUN = (
    # Nodes are virtual: they need no heartbeats, and what befalls them is the super cluster's to act on.
    "node-lifecycle-controller",
    # It knows no difference between the provider's taints and the tenant's own. The syncer evicts by
    # the latter (docs/decisions/0017).
    "taint-eviction-controller",
    "device-taint-eviction-controller",
    "node-ipam-controller",
    "ttl-controller",
    # Volumes are bound, attached and grown in the super cluster.
    "persistentvolume-binder-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
)


def render(plan: Plan) -> Workload:
    """The workload; a new client certificate or authority restarts it, which costs nobody anything."""
    credentials = plan.credentials
    authority = credentials[certificates.CLUSTER_AUTHORITY]
    serving = pair_files(credentials, certificates.CONTROLLER_MANAGER_SERVING)
    signing = pair_files(credentials, certificates.CLUSTER_AUTHORITY)
    client = kubeconfig(
        plan.name,
        plan.server,
        authority.certificate,
        api.CONTROLLER_MANAGER_USER,
        credentials[certificates.CONTROLLER_MANAGER],
    )
    return Workload(
        name=KUBE_CONTROLLER_MANAGER,
        program=KUBE_CONTROLLER_MANAGER,
        arguments=_arguments(plan),
        files=serving
        | signing
        | pair_files(credentials, certificates.SERVICE_ACCOUNT_KEY)
        | {KUBECONFIG_FILE: client},
        reloaded=frozenset(serving),
        environment=GARBAGE_COLLECTION,
        stop_seconds=5,
    )


def _arguments(plan: Plan) -> tuple[str, ...]:
    place = plan.placement
    file = place.path
    authority = certificate_file(certificates.CLUSTER_AUTHORITY)
    serving = certificates.CONTROLLER_MANAGER_SERVING
    values = {
        "bind-address": place.address,
        "secure-port": place.ports[KUBE_CONTROLLER_MANAGER],
        "tls-cert-file": file(certificate_file(serving)),
        "tls-private-key-file": file(key_file(serving)),
        "kubeconfig": file(KUBECONFIG_FILE),
        "authentication-kubeconfig": file(KUBECONFIG_FILE),
        "authorization-kubeconfig": file(KUBECONFIG_FILE),
        # Who may read its metrics it knows without a look-up, which a new API server refuses until its
        # roles are there: it would end, and be started again seconds later.
        "authentication-skip-lookup": "true",
        "client-ca-file": file(authority),
        "feature-gates": FEATURE_GATES,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "controllers": ",".join(("*", *(f"-{name}" for name in NOT_RUN))),
        "root-ca-file": file(authority),
        "service-account-private-key-file": file(key_file(certificates.SERVICE_ACCOUNT_KEY)),
        "cluster-signing-cert-file": file(authority),
        "cluster-signing-key-file": file(key_file(certificates.CLUSTER_AUTHORITY)),
        "kube-api-qps": 100,
        "kube-api-burst": 200,
        "profiling": "false",
    }
    return tuple(f"--{name}={value}" for name, value in values.items())

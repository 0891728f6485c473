"""What is tried. Each entry is a stock project; what is said of it here is all that is ours."""

from tests.charts import prepare
from tests.charts.installations import Chart, Created, Manifests
from tests.charts.model import Entry, Module, StandIn
from tests.charts.policies import DESCHEDULER, GATEKEEPER, KYVERNO
from tests.charts.steps import Apply, Helm, Kubectl, Says, Wait

HELM = Module("helm.sh/helm/v3", "v3.22.0", (("helm", "./cmd/helm"),))
COMPLETE = "condition=Complete"
SUCCEEDED = "jsonpath={.status.phase}=Succeeded"


def manager(image: str, program: str) -> StandIn:
    """As operators' images are: one program, where kubebuilder puts it."""
    return StandIn(image, ((f"program:{program}", "/manager"),), ("/manager",))


CREATED = Entry(
    name="helm",
    module=HELM,
    installation=Created(Chart("web", "web", "default")),
    images=(
        StandIn(
            "docker.io/library/nginx:1.16.0",
            (("here:manifests/index.html", "/www/index.html"),),
            command=("httpd", "-f", "-p", "80", "-h", "/www"),
            user="",
            busybox=True,
        ),
        StandIn("docker.io/library/busybox:1.37.0", command=("sh",), user="", busybox=True),
    ),
    steps=(
        Helm(
            ("upgrade", "web", "CHART", "--set", "replicaCount=3", "--wait", "--timeout", "3m"),
            chart="web",
        ),
        Wait("deployment/web", "jsonpath={.status.readyReplicas}=3"),
        Helm(("test", "web", "--timeout", "2m")),
        Helm(("rollback", "web", "1", "--wait", "--timeout", "3m")),
        Wait("deployment/web", "jsonpath={.status.replicas}=1"),
        Kubectl(("delete", "pod", "web-test-connection")),  # helm keeps it, for its log
    ),
)

JOBSET = Entry(
    name="jobset",
    module=Module("sigs.k8s.io/jobset", "v0.11.0", (("jobset", "."),)),
    installation=Chart("jobset", "charts/jobset", "jobset-system", "jobset.yaml"),
    images=(manager("us-central1-docker.pkg.dev/k8s-staging-images/jobset/jobset:main", "jobset"),),
    steps=(
        Apply("jobset.yaml"),
        Wait("jobset/ring", "condition=Completed"),
    ),
    objects=("jobset.yaml",),
)

KUEUE = Entry(
    name="kueue",
    module=Module("sigs.k8s.io/kueue", "v0.17.0", (("kueue", "./cmd/kueue"),)),
    installation=Chart("kueue", "charts/kueue", "kueue-system", "kueue.yaml"),
    images=(
        manager("us-central1-docker.pkg.dev/k8s-staging-images/kueue/kueue:release-0.17", "kueue"),
    ),
    steps=(
        Apply("kueue-queues.yaml"),
        Wait("clusterqueue/cq", "condition=Active"),
        Apply("kueue-jobs.yaml"),
        Says(
            (
                "get",
                "--raw",
                "/apis/visibility.kueue.x-k8s.io/v1beta2/clusterqueues/cq/pendingworkloads",
            ),
            "PendingWorkloadsSummary",
        ),
        *(Wait(f"job/job{number}", COMPLETE, "turns") for number in (1, 2, 3)),
        *(Wait(f"pod/plain{number}", SUCCEEDED, "turns") for number in (1, 2, 3)),
        Says(
            ("get", "events", "-n", "turns", "-o", "jsonpath={.items[*].message}"),
            "insufficient unused quota",  # so they did take turns
        ),
    ),
    objects=("kueue-queues.yaml", "kueue-jobs.yaml"),
)

METRICS_SERVER = Entry(
    name="metrics-server",
    module=Module(
        "sigs.k8s.io/metrics-server", "v0.9.0", (("metrics-server", "./cmd/metrics-server"),)
    ),
    installation=Chart(
        "metrics-server", "charts/metrics-server", "kube-system", "metrics-server.yaml"
    ),
    images=(
        StandIn(
            "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
            (("program:metrics-server", "/metrics-server"),),
            ("/metrics-server",),
        ),
    ),
    steps=(
        Wait("apiservice/v1beta1.metrics.k8s.io", "condition=Available"),
        Says(("top", "nodes", "--no-headers"), "%"),
        Says(("top", "pods", "-n", "kube-system", "--no-headers"), "coredns"),
    ),
)

TRAINING_OPERATOR = Entry(
    name="training-operator",
    module=Module(
        "github.com/kubeflow/training-operator",
        "v1.8.1",
        (("training-operator", "./cmd/training-operator.v1"),),
    ),
    installation=Manifests("manifests/overlays/standalone", "kubeflow"),
    images=(
        manager("docker.io/kubeflow/training-operator:v1-04f9f13", "training-operator"),
        StandIn(  # its workers look their leader up before they start
            "docker.io/library/alpine:3.10",
            (("machine:bash", "/bin/sh"), ("machine:nslookup", "/usr/bin/nslookup")),
            user="",
            busybox=True,
        ),
    ),
    steps=(Apply("pytorchjob.yaml"), Wait("pytorchjob/dist", "condition=Succeeded")),
    objects=("pytorchjob.yaml",),
)

CERT_MANAGER_PROGRAMS = ("controller", "webhook", "cainjector", "ctl")
CERT_MANAGER = Entry(
    name="cert-manager",
    module=Module(
        "github.com/cert-manager/cert-manager",
        "v1.11.5",  # later ones build from modules of their own that have no versions
        tuple((name, f"./cmd/{name}") for name in CERT_MANAGER_PROGRAMS),
        prepare=prepare.cert_manager,
    ),
    installation=Chart(
        "cert-manager", "deploy/charts/cert-manager", "cert-manager", "cert-manager.yaml"
    ),
    images=tuple(
        StandIn(
            f"quay.io/jetstack/cert-manager-{name}:v1.11.5",
            ((f"program:{name}", f"/app/{name}"),),
            (f"/app/{name}",),
        )
        for name in CERT_MANAGER_PROGRAMS
    ),
    steps=(
        Apply("certificate.yaml"),
        Wait("certificate/web", "condition=Ready"),
        Says(("get", "secret", "web-tls", "-o", "jsonpath={.type}"), "kubernetes.io/tls"),
    ),
    objects=("certificate.yaml",),
)

KUBERAY = Entry(
    name="kuberay",
    module=Module(
        "github.com/ray-project/kuberay/ray-operator", "v1.5.0", (("ray-operator", "."),)
    ),
    installation=Manifests("config/default", "default"),
    images=(
        manager("quay.io/kuberay/operator:v1.5.0", "ray-operator"),
        StandIn(
            "docker.io/rayproject/ray:2.9.0",
            (
                ("here:manifests/ray.sh", "/usr/bin/ray"),
                ("here:manifests/index.html", "/www/index.html"),
                ("machine:bash", "/bin/bash"),
            ),
            user="",
            busybox=True,
        ),
    ),
    steps=(
        Apply("raycluster.yaml"),
        Wait("raycluster/rc", "jsonpath={.status.state}=ready"),
        Wait("raycluster/rc", "jsonpath={.status.readyWorkerReplicas}=3"),
    ),
    objects=("raycluster.yaml",),
)

TRAINER = Entry(
    name="trainer",
    module=Module(
        "github.com/kubeflow/trainer/v2",
        "v2.0.0",
        (("trainer", "./cmd/trainer-controller-manager"),),
        prepare=prepare.trainer,
    ),
    installation=Manifests("manifests/overlays/manager", "kubeflow-system"),
    images=(manager("ghcr.io/kubeflow/trainer/trainer-controller-manager:v2.0.0", "trainer"),),
    steps=(
        Apply("trainjob.yaml"),
        Wait("trainjob/torch", COMPLETE),
    ),
    objects=("trainjob.yaml",),
    needs=("jobset",),
)

PROMETHEUS_OPERATOR = Entry(
    name="prometheus-operator",
    module=Module(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        (("prometheus-operator", "./cmd/operator"),),
        prepare=prepare.prometheus_operator,
    ),
    installation=Manifests(".", "default"),
    images=(
        StandIn(
            "quay.io/prometheus-operator/prometheus-operator:v0.85.0",
            (("program:prometheus-operator", "/bin/operator"),),
            ("/bin/operator",),
        ),
    ),
    steps=(
        Apply("prometheus.yaml"),
        Wait("statefulset/prometheus-own", "jsonpath={.spec.replicas}=0"),
        Wait("prometheus/own", "condition=Reconciled"),
    ),
    objects=("prometheus.yaml",),
)

ENTRIES = (
    CREATED,
    JOBSET,
    KUEUE,
    METRICS_SERVER,
    TRAINING_OPERATOR,
    CERT_MANAGER,
    GATEKEEPER,
    DESCHEDULER,
    KUBERAY,
    TRAINER,
    PROMETHEUS_OPERATOR,
    KYVERNO,
)

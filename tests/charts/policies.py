"""More of the table: projects that refuse, change or evict other people's pods."""

from tests.charts import prepare
from tests.charts.installations import Chart, Manifests
from tests.charts.model import Entry, Module, StandIn
from tests.charts.steps import Apply, Kubectl, Refused, Says, Wait

PULL_POLICY = "jsonpath={.spec.containers[0].imagePullPolicy}"

GATEKEEPER = Entry(
    name="gatekeeper",
    module=Module("github.com/open-policy-agent/gatekeeper/v3", "v3.23.1", (("gatekeeper", "."),)),
    installation=Chart("gatekeeper", "charts/gatekeeper", "gatekeeper-system", "gatekeeper.yaml"),
    images=(
        StandIn(
            "docker.io/openpolicyagent/gatekeeper:v3.23.1",
            (("program:gatekeeper", "/manager"),),
            ("/manager",),
        ),
        StandIn(
            "docker.io/openpolicyagent/gatekeeper-crds:v3.23.1",
            (("system:kubectl", "/kubectl"), ("module:charts/gatekeeper/crds", "/crds")),
            ("/kubectl",),
        ),
        StandIn(
            "docker.io/curlimages/curl:8.20.0",
            (("machine:curl", "/usr/bin/curl"),),
            ("/usr/bin/curl",),
            user="100",
        ),
    ),
    steps=(
        Apply("gatekeeper-template.yaml"),
        Apply("gatekeeper-constraint.yaml"),
        Refused("gatekeeper-unlabelled.yaml", "you must provide labels"),
        Apply("gatekeeper-labelled.yaml"),
        Says(("get", "pod", "labelled", "-n", "shop", "-o", PULL_POLICY), "IfNotPresent"),
        # With failurePolicy Fail nobody may make a pod while it is away; it exempts its own namespace.
        Kubectl(
            ("delete", "pods", "--all", "-n", "gatekeeper-system", "--force", "--grace-period=0")
        ),
        Wait(
            "deployment/gatekeeper-controller-manager",
            "condition=Available",
            "gatekeeper-system",
        ),
        Refused("gatekeeper-unlabelled.yaml", "you must provide labels"),
    ),
    objects=(
        "gatekeeper-template.yaml",
        "gatekeeper-constraint.yaml",
        "gatekeeper-labelled.yaml",
    ),
)

DESCHEDULER = Entry(
    name="descheduler",
    module=Module("sigs.k8s.io/descheduler", "v0.36.0", (("descheduler", "./cmd/descheduler"),)),
    installation=Chart("descheduler", "charts/descheduler", "kube-system", "descheduler.yaml"),
    images=(
        StandIn(
            "registry.k8s.io/descheduler/descheduler:v0.36.0",
            (("program:descheduler", "/bin/descheduler"),),
            ("/bin/descheduler",),
        ),
    ),
    steps=(
        Apply("descheduled.yaml"),
        Wait("deployment/old", "condition=Available", "ageing"),
        Says(
            ("get", "events", "-n", "ageing", "-o", "jsonpath={.items[*].message}"),
            "pod eviction from",
        ),
        Wait("deployment/old", "condition=Available", "ageing"),
    ),
    objects=("descheduled.yaml",),
)

KYVERNO = Entry(
    name="kyverno",
    module=Module(
        "github.com/kyverno/kyverno",
        "v1.19.1",
        (("kyverno", "./cmd/kyverno"), ("kyvernopre", "./cmd/kyverno-init")),
        prepare=prepare.kyverno,
    ),
    installation=Manifests("config", "kyverno"),
    images=tuple(
        StandIn(
            f"reg.kyverno.io/kyverno/{name}:latest",
            ((f"program:{name}", f"/ko-app/{name}"),),
            (f"/ko-app/{name}",),
        )
        for name in ("kyverno", "kyvernopre")
    ),
    steps=(
        Apply("kyverno-policies.yaml"),
        Wait("clusterpolicy/owners", "condition=Ready"),
        Refused("kyverno-unlabelled.yaml", "a pod has an owner"),
        Apply("kyverno-labelled.yaml"),
        Says(
            ("get", "pod", "labelled", "-n", "stall", "-o", "jsonpath={.metadata.labels.seen}"),
            "yes",
        ),
    ),
    objects=("kyverno-policies.yaml", "kyverno-labelled.yaml"),
)

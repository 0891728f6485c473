"""The init container that writes the tenant's name of a pod into its /etc/hosts."""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kube.objects import Object
from syncer.admission.pod_usage import pod_usage
from syncer.kinds import pod_hosts, pod_security
from syncer.kinds.mirror import Refused
from syncer.kinds.pod import to_super
from syncer.kinds.pod_hosts import with_own_hosts
from syncer.kinds.pod_policy import refuse_changes
from syncer.kinds.pod_update import patches
from tests.unit.kinds.builders import ACME, SUPER_UID
from tests.unit.kinds.pod_builders import OFFERS, a_container, a_pod, patched
from vcluster import hosts_file
from vcluster.hosts_file import NAME

IMAGE = "registry.example.com/busybox:1"
MOUNT = {"name": NAME, "mountPath": "/etc/hosts", "subPath": "hosts"}


def sent(pod: Object, image: str = IMAGE) -> Object:
    """The super pod that is created; what is given is left alone."""
    wanted = to_super(pod, ACME, OFFERS)
    before = copy.deepcopy(wanted)
    found = with_own_hosts(wanted, "web", image)
    assert wanted == before
    return found


def ours(pod: Object) -> Object:
    """The init container of a pod that gets one."""
    first: Object = sent(pod)["spec"]["initContainers"][0]
    assert first["name"] == NAME
    return first


def in_ring(**spec: Any) -> Object:
    return a_pod(subdomain="ring", **spec)


def test_it_comes_first_and_every_other_container_has_its_file() -> None:
    sidecar = a_container("sidecar", restartPolicy="Always")
    containers = [
        a_container(),
        a_container("more", volumeMounts=[{"name": "d", "mountPath": "/d"}]),
    ]
    volumes = [{"name": "d", "emptyDir": {}}]
    pod = in_ring(
        initContainers=[a_container("first"), sidecar], containers=containers, volumes=volumes
    )
    spec = sent(pod)["spec"]
    assert [item["name"] for item in spec["initContainers"]] == [NAME, "first", "sidecar"]
    for item in (*spec["initContainers"][1:], *spec["containers"]):
        assert item["volumeMounts"][-1] == MOUNT, item["name"]
    assert spec["containers"][1]["volumeMounts"][0] == {"name": "d", "mountPath": "/d"}
    assert [item["name"] for item in spec["volumes"]] == ["d", NAME]
    assert spec["initContainers"][0]["image"] == IMAGE


def test_without_it_the_super_pod_is_as_before() -> None:
    pod = in_ring(volumes=[{"name": "d", "emptyDir": {}}], initContainers=[a_container("first")])
    shown = sent(pod)
    assert hosts_file.in_spec(shown["spec"]) == to_super(pod, ACME, OFFERS)["spec"]
    assert hosts_file.in_spec(sent(in_ring())["spec"]) == to_super(in_ring(), ACME, OFFERS)["spec"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"subdomain": ""},
        {"subdomain": "ring", "hostNetwork": True},
        {"subdomain": "ring", "os": {"name": "windows"}},
        {"subdomain": "ring", "nodeSelector": {"kubernetes.io/os": "windows"}},
        {"subdomain": "ring", "hostnameOverride": "own"},
        {"subdomain": "ring", "setHostnameAsFQDN": True},
    ],
)
def test_pods_of_which_the_kubelet_writes_no_namespace_have_none(spec: Object) -> None:
    assert sent(a_pod(**spec)) == to_super(a_pod(**spec), ACME, OFFERS)


def test_without_an_image_there_is_none() -> None:
    assert sent(in_ring(), image="") == to_super(in_ring(), ACME, OFFERS)


@pytest.mark.parametrize(
    "own",
    [
        {"volumeMounts": [{"name": "d", "mountPath": "/etc/hosts"}]},
        {"volumeMounts": [{"name": "d", "mountPath": "/etc//hosts/"}]},
        {"volumeDevices": [{"name": "d", "devicePath": "/etc/hosts"}]},
    ],
)
def test_a_container_that_brings_its_own_file_keeps_it(own: Object) -> None:
    volumes = [{"name": "d", "emptyDir": {}}]
    pod = in_ring(containers=[a_container(**own), a_container("other")], volumes=volumes)
    first, other = sent(pod)["spec"]["containers"]
    assert {field: first[field] for field in own} == own
    assert MOUNT not in first.get("volumeMounts", [])
    assert other["volumeMounts"] == [MOUNT]


def test_the_strictest_standard_lets_it_pass() -> None:
    pod = in_ring(securityContext={"runAsUser": 0})
    found = {"initContainers": [ours(pod)], "volumes": sent(pod)["spec"]["volumes"]}
    assert list(pod_security.refusals(found, {}, "restricted")) == []
    context = ours(pod)["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert context["runAsUser"] == context["runAsGroup"] == 65534
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def resources(*amounts: Object | None) -> Object | None:
    """What ours asks for beside containers that ask for these."""
    containers = [
        a_container(f"c{number}", **({"resources": one} if one else {}))
        for number, one in enumerate(amounts)
    ]
    return ours(in_ring(containers=containers)).get("resources")


def both(cpu: str, memory: str) -> Object:
    return {field: {"cpu": cpu, "memory": memory} for field in ("limits", "requests")}


def test_its_resources_change_neither_qos_class_nor_sum() -> None:
    assert resources(None) is None
    assert resources(both("2", "1Gi")) == both("100m", "32Mi")
    assert resources(both("2", "1Gi"), both("0.05", "20M")) == both("0.05", "20M")
    assert resources(both("2", "1Gi"), None) is None
    assert resources({"requests": {"cpu": "5m"}}) == {"requests": {"cpu": "5m"}}
    assert resources(both("2", "1Gi"), {"requests": {"cpu": "1"}}) == {"requests": {"cpu": "100m"}}
    assert resources({"limits": {"nvidia.com/gpu": "1"}}) is None


def test_an_init_container_that_asks_for_less_counts_too() -> None:
    pod = in_ring(
        initContainers=[a_container("first", resources=both("20m", "8Mi"))],
        containers=[a_container(resources=both("2", "1Gi"))],
    )
    assert ours(pod)["resources"] == both("20m", "8Mi")


def test_what_a_pod_says_as_a_whole_needs_no_container() -> None:
    containers = [a_container(resources=both("1", "1Gi"))]
    pod = in_ring(resources=both("2", "1Gi"), containers=containers)
    assert "resources" not in ours(pod)


def test_it_never_counts_for_the_quota_of_the_tenant() -> None:
    pod = in_ring(containers=[a_container(resources=both("50m", "20Mi"))])
    below = sent(pod)
    assert pod_usage(below) == pod_usage(pod)
    below["spec"]["containers"][0]["resources"] = both("5m", "2Mi")  # resized meanwhile
    pod["spec"]["containers"][0]["resources"] = both("5m", "2Mi")
    assert pod_usage(below) == pod_usage(pod)


KUBELETS = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
fe00::0\tip6-mcastprefix
10.1.2.3\tshop.ring.acme-1f3a9c2e-web.svc.{domain}\tshop
fd00::3\tshop.ring.acme-1f3a9c2e-web.svc.{domain}\tshop

# Entries added by HostAliases.
10.9.9.9\told.ring.acme-1f3a9c2e-web.svc.cluster.local\tweb.other-acme-1f3a9c2e-web.svc
"""


@pytest.mark.parametrize("domain", ["cluster.local", "corp.example"])
@pytest.mark.parametrize("shell", [["sh"], ["busybox", "sh"]])
def test_the_script_corrects_the_name_and_nothing_else(
    tmp_path: Path, shell: list[str], domain: str
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed; tests with real nodes install it")
    source, target = tmp_path / "hosts", tmp_path / "copy"
    target.mkdir()
    (target / "hosts").write_text("of a life before\n" * 99)
    (target / "hosts").chmod(0o600)
    before = KUBELETS.format(domain=domain)
    source.write_text(before)
    _, flag, script, *arguments = ours(in_ring())["command"]
    script = script.replace(hosts_file.PATH, str(source))
    script = script.replace(pod_hosts.DIRECTORY, str(target))
    subprocess.run([*shell, flag, script, *arguments], check=True, umask=0o077)
    begin, aliases = before.split("\n\n")
    begin = begin.replace(f"acme-1f3a9c2e-web.svc.{domain}", "web.svc.cluster.local")
    assert (target / "hosts").read_text() == f"{begin}\n\n{aliases}"
    assert (target / "hosts").stat().st_mode & 0o777 == 0o644


def test_names_are_arguments_and_no_part_of_the_script() -> None:
    command = ours(in_ring())["command"]
    assert command[:3] == ["sh", "-c", pod_hosts.SCRIPT]
    assert command[4:] == ["acme-1f3a9c2e-web", "web.svc.cluster.local"]
    assert "$(" not in pod_hosts.SCRIPT, "Kubernetes would take it for a variable of its own"


# Changes: what others added to a super pod stays, and ours is one of these.


def live(pod: Object) -> Object:
    below = sent(pod)
    given = {"uid": SUPER_UID, "resourceVersion": "9", "generation": 1}
    return below | {"metadata": below["metadata"] | given}


def test_a_change_of_the_tenant_leaves_it_alone() -> None:
    before = in_ring(
        initContainers=[a_container("first")], containers=[a_container(resources=both("1", "1Gi"))]
    )
    assert [patch.body for patch in patches(live(before), before, ACME, OFFERS)] == [
        {"metadata": {"uid": SUPER_UID}}
    ]
    after = copy.deepcopy(before)
    after["spec"]["initContainers"][0]["image"] = "example.com/first:2"
    after["spec"]["containers"][0]["resources"] = both("2", "1Gi")
    after["spec"]["ephemeralContainers"] = [a_container("debugger")]
    below = live(before)
    first = below["spec"]["initContainers"][0]
    for patch in patches(below, after, ACME, OFFERS):
        assert NAME not in str(patch.body)
        below = patched(below, patch.body)
    spec = below["spec"]
    assert spec["initContainers"][0] == first
    assert spec["initContainers"][1]["image"] == "example.com/first:2"
    assert spec["containers"][0]["resources"] == both("2", "1Gi")
    assert MOUNT in spec["containers"][0]["volumeMounts"]
    # Its volumes cannot be mounted by subPath in such a container.
    assert "volumeMounts" not in spec["ephemeralContainers"][0]


# Its name is nobody else's.


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [a_container(NAME)]},
        {"initContainers": [a_container(NAME)]},
        {"volumes": [{"name": NAME, "emptyDir": {}}]},
    ],
)
def test_a_pod_that_uses_the_name_is_refused_whether_it_has_a_subdomain_or_not(
    spec: Object,
) -> None:
    for pod in (a_pod(**spec), in_ring(**spec)):
        with pytest.raises(Refused, match=f"'{NAME}' is taken .* choose another name") as refused:
            to_super(pod, ACME, OFFERS)
        assert refused.value.reason == "ReservedName"
        assert refused.value.field == f"spec.{next(iter(spec))}[].name"


def test_of_a_debug_container_only_itself_is_refused() -> None:
    before = in_ring()
    after = in_ring(ephemeralContainers=[a_container(NAME)])
    found = {patch.subresource: patch.body for patch in patches(live(before), after, ACME, OFFERS)}
    with pytest.raises(Refused, match="choose another name"):
        refuse_changes(live(before), found["ephemeralcontainers"], ACME)
    refuse_changes(live(before), found[""], ACME)

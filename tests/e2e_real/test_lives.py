"""How containers begin, change and end, as the kubelet reports it and a tenant sees it.

All pods start together; each test then waits for what its own comes to.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import pytest

from tests.e2e.local_system import Object, TenantCluster, wait_for
from tests.e2e.objects import service
from tests.e2e_real.containers import PROBE_SECONDS, container_pod, is_ready, watched, web_pod
from vcluster.local.real_nodes.images import BUSYBOX

FOR_EVER = "exec sleep 100000"
LIMIT = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
GRACE = 4
WATCH = (
    "get",
    "pods",
    "-l",
    "ends",
    "-o",
    "json",
    "-w",
    "--output-watch-events",
    "--request-timeout=280s",
)


def asked(script: str, **fields: int) -> Object:
    """A probe by a script, every second."""
    command = {"exec": {"command": ["sh", "-c", script]}}
    usual = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": PROBE_SECONDS}
    return {**usual, **command, **fields}


def of_main(pod: Object, **fields: object) -> Object:
    """The pod, with more said of its container."""
    pod["spec"]["containers"][0] |= fields
    return pod


def in_order() -> Object:
    """A pod with an init container, a sidecar and a main container that tells what they did."""
    first = {"name": "first", "image": BUSYBOX, "command": ["sh", "-c", "echo one > /work/order"]}
    beside = first | {
        "name": "beside",
        "command": ["sh", "-c", f"echo two >> /work/order; {FOR_EVER}"],
        "restartPolicy": "Always",
        "startupProbe": asked("grep -q two /work/order", failureThreshold=30),
    }
    mounts = [{"name": "work", "mountPath": "/work"}]
    orderly = container_pod(
        "orderly",
        "cat /work/order > /dev/termination-log",
        restartPolicy="Never",
        volumes=[{"name": "work", "emptyDir": {}}],
        initContainers=[item | {"volumeMounts": mounts} for item in (first, beside)],
    )
    return of_main(orderly, volumeMounts=mounts)


def ending() -> list[Object]:
    """A pod that ends when it is asked to, after its hook; and one that does not."""
    stubborn = container_pod("stubborn", f"trap '' TERM; {FOR_EVER}")
    polite = container_pod("polite", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    stubborn["spec"]["terminationGracePeriodSeconds"] = GRACE
    polite["spec"]["terminationGracePeriodSeconds"] = 60
    slow = {"exec": {"command": ["sleep", "2"]}}
    greets = {"exec": {"command": ["sh", "-c", "echo hello > /tmp/hello"]}}
    for pod in (stubborn, polite):
        pod["metadata"]["labels"]["ends"] = "yes"
    return [of_main(polite, lifecycle={"postStart": greets, "preStop": slow}), stubborn]


def pods() -> list[Object]:
    """One for each fate."""
    alive = "touch /tmp/alive; sleep 2; rm /tmp/alive; exec sleep 100000"
    small = {"limits": {"cpu": "100m", "memory": "32Mi"}}
    return [
        container_pod("fails", "exit 7", restartPolicy="Never"),
        container_pod("crashes", "echo once more; exit 3"),
        of_main(container_pod("greedy", "exec tail /dev/zero"), resources=small),
        container_pod("imageless", FOR_EVER, image="localhost/none:1"),
        of_main(container_pod("unpulled", FOR_EVER, image="localhost/no:1"), imagePullPolicy="Never"),
        of_main(container_pod("sick", alive), livenessProbe=asked("[ -e /tmp/alive ]")),
        of_main(
            container_pod("late", f"sleep 3; touch /tmp/up; {FOR_EVER}"),
            startupProbe=asked("[ -e /tmp/up ]", failureThreshold=60),
            livenessProbe=asked("[ -e /tmp/up ]"),
        ),
        in_order(),
        *ending(),
        of_main(container_pod("resized", FOR_EVER), resources=small | {"requests": {"cpu": "50m"}}),
        web_pod("shop", ""),
        service("shop", ports=[{"port": 80, "targetPort": 8080}]),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def tenant(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a with the pods."""
    wanted = pods()
    team_a.apply(*wanted)
    yield team_a
    names = [item["metadata"]["name"] for item in wanted if item["kind"] == "Pod"]
    team_a.kubectl("delete", "pod", *names, "--wait=false", "--ignore-not-found")
    team_a.kubectl("delete", "service", "shop")


def main_container(tenant: TenantCluster, name: str) -> Object:
    """The status of the pod's container; empty while there is none."""
    found = tenant.get("pod", name) or {"status": {}}
    statuses: list[Object] = found["status"].get("containerStatuses") or [{}]
    return statuses[0]


def state(tenant: TenantCluster, name: str, kind: str, field: str = "state") -> Object:
    """What the container's state says, once it is of this kind."""

    def found() -> Object | None:
        said: Object | None = main_container(tenant, name).get(field, {}).get(kind)
        return said

    return wait_for(f"{name} is {kind}", found)


def phase(tenant: TenantCluster, name: str) -> str:
    """The phase of a pod."""
    found = tenant.get("pod", name) or {"status": {}}
    return str(found["status"].get("phase"))


def reasons(tenant: TenantCluster, name: str) -> dict[str, str]:
    """The messages of a pod's Events by their reason."""
    return {event["reason"]: event["message"] for event in tenant.events(name)}


def test_an_exit_code_is_told(tenant: TenantCluster) -> None:
    ended = state(tenant, "fails", "terminated")
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    wait_for("the pod has failed", lambda: phase(tenant, "fails") == "Failed")


def test_too_much_memory_is_told(tenant: TenantCluster) -> None:
    # The runtime hears of the kill and of its cause on two ways: the first end may lack the cause.
    def killed() -> bool:
        status = main_container(tenant, "greedy")
        ends = [status.get(field, {}).get("terminated") or {} for field in ("state", "lastState")]
        return (137, "OOMKilled") in [(end.get("exitCode"), end.get("reason")) for end in ends]

    wait_for("its end is told with the cause", killed)


def test_a_crash_loop_is_counted_and_explained(tenant: TenantCluster) -> None:
    ended = state(tenant, "crashes", "terminated", "lastState")
    assert (ended["exitCode"], ended["message"]) == (3, "once more\n")
    wait_for("it is tried again", lambda: main_container(tenant, "crashes")["restartCount"] >= 1)
    uid = (tenant.get("pod", "crashes") or {})["metadata"]["uid"]
    wait_for(  # there is none at the moment in which the kubelet makes the next container
        "the log of its predecessor is there",
        lambda: "once more" in tenant.kubectl("logs", "crashes", "--previous", check=False),
    )
    # The kubelet shows the back-off in the status only for a moment, before it tries again.
    said = wait_for("the Event is there", lambda: reasons(tenant, "crashes").get("BackOff"))
    assert "estarting failed container" in said
    assert f"crashes_default({uid})" in said, "the tenant's name and UID"


def test_a_missing_image_is_told(tenant: TenantCluster) -> None:
    waiting = waits_for(tenant, "imageless", "ErrImagePull", "ImagePullBackOff")
    assert "localhost/none:1" in waiting["message"]
    said = wait_for("the Event is there", lambda: reasons(tenant, "imageless").get("Failed"))
    assert "localhost/none:1" in said or said.startswith("Error: ")
    waiting = waits_for(tenant, "unpulled", "ErrImageNeverPull")
    assert waiting["message"] == (
        'Container image "localhost/no:1" is not present with pull policy of Never'
    )


def waits_for(tenant: TenantCluster, name: str, *reasons: str) -> Object:
    """The state of a container that waits, once it does for one of these: it is created first."""

    def found() -> Object | None:
        waiting: Object = main_container(tenant, name).get("state", {}).get("waiting") or {}
        return waiting if waiting.get("reason") in reasons else None

    return wait_for(f"{name} waits: {' or '.join(reasons)}", found)


def test_a_failed_liveness_probe_restarts(tenant: TenantCluster) -> None:
    wait_for("it restarts", lambda: main_container(tenant, "sick").get("restartCount"))
    wait_for("it is said that it is killed", lambda: "Killing" in reasons(tenant, "sick"))

    def failed() -> bool:  # beside those that met a container on its way out
        return any(
            event["reason"] == "Unhealthy" and event["message"].startswith("Liveness probe failed")
            for event in tenant.events("sick")
        )

    wait_for("it is said why", failed)


def test_a_startup_probe_holds_the_others_back(tenant: TenantCluster) -> None:
    wait_for("it is up", lambda: is_ready(tenant, "late"))
    assert main_container(tenant, "late")["restartCount"] == 0


def test_what_is_not_ready_has_no_endpoint(tenant: TenantCluster) -> None:
    wait_for("it is ready", lambda: is_ready(tenant, "shop"))

    def serving() -> list[bool]:
        slices = tenant.items("endpointslices", "-l", "kubernetes.io/service-name=shop")
        return [e["conditions"]["ready"] for one in slices for e in one.get("endpoints") or ()]

    wait_for("it is served", lambda: serving() == [True])
    tenant.kubectl("exec", "shop", "--", "mv", "/www/index.html", "/www/away")
    wait_for("it is not any more", lambda: serving() == [False])
    tenant.kubectl("exec", "shop", "--", "mv", "/www/away", "/www/index.html")
    wait_for("it is again", lambda: serving() == [True])


def test_init_containers_come_first_and_sidecars_go_last(tenant: TenantCluster) -> None:
    assert state(tenant, "orderly", "terminated")["message"] == "one\ntwo\n"

    def ended() -> Object | None:
        found = tenant.get("pod", "orderly") or {"status": {}}
        return found if found["status"].get("phase") == "Succeeded" else None

    found = wait_for("the pod has ended with its sidecar", ended)
    first, beside = found["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["exitCode"] == 0
    assert (
        beside["state"]["terminated"]["finishedAt"]
        >= (found["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"])
    )


def test_a_container_has_its_time_to_end(tenant: TenantCluster) -> None:
    for name in ("polite", "stubborn"):
        wait_for(f"{name} runs", partial(is_ready, tenant, name))
    assert tenant.kubectl("exec", "polite", "--", "cat", "/tmp/hello") == "hello\n"
    watch = tenant.start(*WATCH)
    seen = watched(watch)
    asked_at: dict[str, datetime] = {}
    last: dict[str, Object] = {}
    try:
        for _ in ("polite", "stubborn"):
            next(seen)  # it watches
        tenant.kubectl("delete", "pod", "polite", "stubborn", "--wait=false")
        for event in seen:
            metadata = event["object"]["metadata"]
            if "deletionTimestamp" in metadata:
                grace = timedelta(seconds=metadata["deletionGracePeriodSeconds"])
                by = datetime.fromisoformat(metadata["deletionTimestamp"])
                asked_at.setdefault(metadata["name"], by - grace)
            if event["type"] == "DELETED":
                last[metadata["name"]] = event["object"]
            if len(last) == 2:
                break
    finally:
        watch.kill()
        watch.communicate()
    # Neither ends before its time; the first has not used up its own, nor the second the usual 30 s.
    for name, code, least, most in (("polite", 0, 2, 60), ("stubborn", 137, GRACE, 30)):
        [status] = last[name]["status"]["containerStatuses"]
        ended = status["state"]["terminated"]
        assert ended["exitCode"] == code
        lasted = (datetime.fromisoformat(ended["finishedAt"]) - asked_at[name]).total_seconds()
        assert least - 1 <= lasted < most, f"{name} lasted {lasted} s"  # whole seconds


def test_a_container_grows_and_shrinks_where_it_runs(tenant: TenantCluster) -> None:
    wait_for("it runs", lambda: is_ready(tenant, "resized"))
    for memory, cpu in (("64Mi", "200m"), ("40Mi", "150m")):
        resources = {"limits": {"memory": memory, "cpu": cpu}}
        change = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
        tenant.kubectl("patch", "pod", "resized", "--subresource=resize", "-p", json.dumps(change))
        wanted = str(int(memory.removesuffix("Mi")) * 2**20)
        wait_for(f"it has {memory}", reads(tenant, "resized", LIMIT, wanted))
        wait_for("it is told", partial(has_cpu, tenant, cpu))
    assert main_container(tenant, "resized")["restartCount"] == 0


def reads(tenant: TenantCluster, name: str, path: str, wanted: str) -> Callable[[], bool]:
    """Whether a file in the container says what is wanted."""
    return lambda: tenant.kubectl("exec", name, "--", "cat", path).strip() == wanted


def has_cpu(tenant: TenantCluster, cpu: str) -> bool:
    """Whether the kubelet says that the resized container has this limit."""
    resources: Object = main_container(tenant, "resized").get("resources", {})
    return bool(resources.get("limits", {}).get("cpu") == cpu)


def test_a_debug_container_sees_its_target(tenant: TenantCluster) -> None:
    wait_for("its target runs", lambda: is_ready(tenant, "resized"))
    options = (f"--image={BUSYBOX}", "--target=main", "--container=look")
    command = ("debug", "resized", *options)
    # By default kubectl asks for a capability that the tenant's policy does not let it have.
    assert "SYS_PTRACE" in tenant.kubectl(*command, "--", "true", check=False)
    tenant.kubectl(
        *command,
        "--profile=baseline",
        "--",
        "sh",
        "-c",
        "ps | grep -q '[s]leep 100000' && echo seen",
    )

    def ended() -> Object | None:
        found = (tenant.get("pod", "resized") or {})["status"]
        statuses: list[Object] = found.get("ephemeralContainerStatuses") or [{}]
        said: Object | None = statuses[0].get("state", {}).get("terminated")
        return said

    assert wait_for("it has looked", ended)["exitCode"] == 0
    assert tenant.kubectl("logs", "resized", "-c", "look") == "seen\n"

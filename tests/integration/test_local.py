"""`vc up` and `vc down` for real: without operator and syncer, which have tests of their own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from vcluster import binaries
from vcluster.local.components import CLUSTER
from vcluster.local.down import down
from vcluster.local.state import State, StateError
from vcluster.local.status import status
from vcluster.local.up import up
from vcluster.supervision import Program, Supervisor

pytestmark = pytest.mark.integration

PREFIX = "vc-test-local-"

OPTIONS = {"cpu_nodes": 1, "gpu_nodes": 2, "services": False, "pod_start_delay": 0.2}

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  completions: 2
  parallelism: 2
  template:
    metadata: {annotations: {simulation.virtualcluster.dev/run-seconds: "1"}}
    spec:
      restartPolicy: Never
      containers: [{name: c, image: train, resources: {limits: {nvidia.com/gpu: 4}}}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: breaks}
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations:
        simulation.virtualcluster.dev/run-seconds: "0.5"
        simulation.virtualcluster.dev/exit-code: "7"
    spec:
      restartPolicy: Never
      containers: [{name: c, image: train}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: first, image: init}]
      containers: [{name: c, image: web}]
"""


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A folder that the next run finds and clears if this one is killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = int(left.name.removeprefix(PREFIX).split("-")[0])
        if not psutil.pid_exists(owner):
            for record in left.rglob("state.json"):
                down(State(record.parent), purge=True)
            shutil.rmtree(left)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def state(work: Path) -> Iterator[State]:
    """A super cluster of this module's own; nothing of it is left afterwards."""
    state = State(work / "state")
    try:
        up(state, OPTIONS, print)
        yield state
    finally:
        down(state, purge=True)


def kubectl(state: State, *arguments: str, text: str = "") -> str:
    command = [str(state.binaries / "kubectl"), "--kubeconfig", str(state.kubeconfig("admin"))]
    done = subprocess.run(
        [*command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_until(what: str, condition: Callable[[], object], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain until {what}")
        time.sleep(0.1)


def pids(state: State) -> dict[str, int]:
    return {s.name: s.pid for s in Supervisor(state.supervisor_directory).statuses("super")}


def kill(state: State, name: str) -> int:
    """Kill one program as soon as it runs: one that is about to be started again has the pid 0."""
    wait_until(f"{name} runs", lambda: pids(state)[name])
    pid = pids(state)[name]
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def answers(state: State) -> bool:
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
        return kubectl(state, "get", "--raw=/readyz", "--request-timeout=10s") == "ok"
    return False


def test_everything_runs_and_is_measured(state: State) -> None:
    found = {process.name: process for process in status(state)}
    assert set(found) == set(CLUSTER)
    assert all(process.pid and process.memory_mib > 1 for process in found.values())


def test_up_again_changes_nothing(state: State) -> None:
    before, versions = pids(state), kubectl(state, "get", "nodes", "-o", "name")
    up(state, {}, print)
    assert pids(state) == before
    assert kubectl(state, "get", "nodes", "-o", "name") == versions
    assert state.read().options.gpu_nodes == 2


def test_nodes_are_ready_and_have_gpus(state: State) -> None:
    nodes = json.loads(kubectl(state, "get", "nodes", "-l", "nvidia.com/gpu.present", "-o", "json"))
    assert [n["status"]["allocatable"]["nvidia.com/gpu"] for n in nodes["items"]] == ["4", "4"]
    wait_until("each has its lease", lambda: len(leases(state)) == 3)


def leases(state: State) -> set[str]:
    """The UIDs of the nodes' leases."""
    path = "jsonpath={.items[*].metadata.uid}"
    return set(kubectl(state, "get", "leases", "-n", "kube-node-lease", "-o", path).split())


def test_workloads_run_complete_and_fail(state: State) -> None:
    kubectl(state, "apply", "-f", "-", text=JOB)
    kubectl(state, "rollout", "status", "deployment/web", "--timeout=240s")
    kubectl(state, "wait", "job/train", "--for=condition=Complete", "--timeout=240s")
    kubectl(state, "wait", "job/breaks", "--for=condition=Failed", "--timeout=240s")
    pods = json.loads(kubectl(state, "get", "pods", "-l", "job-name=breaks", "-o", "json"))["items"]
    terminated = pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (pods[0]["status"]["phase"], terminated["exitCode"]) == ("Failed", 7)


def test_deletion_takes_its_time_but_no_longer_than_the_grace_period(state: State) -> None:
    annotations = '{"annotations": {"simulation.virtualcluster.dev/stop-seconds": "3600"}}'
    overrides = f'{{"metadata": {annotations}}}'
    kubectl(state, "run", "slow", "--image=x", f"--overrides={overrides}")
    kubectl(state, "wait", "pod/slow", "--for=condition=Ready", "--timeout=240s")
    started = time.monotonic()
    kubectl(state, "delete", "pod", "slow", "--grace-period=2", "--timeout=240s")
    assert time.monotonic() - started >= 1.5


def test_other_users_can_do_nothing(state: State) -> None:
    command = [str(state.binaries / "kubectl"), "--kubeconfig", str(state.kubeconfig("kwok"))]
    done = subprocess.run(
        [*command, "get", "secrets", "-A"], capture_output=True, text=True, check=False
    )
    assert "Forbidden" in done.stderr


def test_keys_are_private_and_nothing_listens_beyond_loopback(state: State) -> None:
    for path in [state.directory, *state.directory.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):  # of programs that go on with their work
            if not path.is_symlink():
                assert path.stat().st_mode & 0o077 == 0, path
    for pid in pids(state).values():
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"


def test_a_foreign_prefix_of_etcd_is_refused(state: State) -> None:
    pki = state.etcd_pki
    command = [
        str(state.binaries / "etcdctl"),
        f"--endpoints=https://127.0.0.1:{state.ports['etcd']}",
        f"--cacert={pki / 'ca.crt'}",
        f"--cert={pki / 'super.crt'}",
        f"--key={pki / 'super.key'}",
        "get",
        "--keys-only",
        "--limit=1",
        "--dial-timeout=30s",
        "--command-timeout=60s",
        "--prefix",
    ]
    allowed = subprocess.run([*command, "/super/"], capture_output=True, text=True, check=False)
    refused = subprocess.run([*command, "/other/"], capture_output=True, text=True, check=False)
    assert "/super/" in allowed.stdout
    assert "permission denied" in refused.stderr


@pytest.mark.parametrize("name", CLUSTER)
def test_what_is_killed_comes_back(state: State, name: str) -> None:
    pid = kill(state, name)
    wait_until(f"{name} runs again", lambda: pids(state)[name] not in (0, pid))
    wait_until("the API server answers", lambda: answers(state))


def test_a_new_kwok_does_not_wait_for_the_leases_of_a_killed_one(state: State) -> None:
    wait_until("each node has its lease", lambda: len(leases(state)) == 3)
    before = leases(state)
    kill(state, "kwok")
    kubectl(state, "run", "after", "--image=x")
    kubectl(state, "wait", "pod/after", "--for=condition=Ready", "--timeout=240s")
    assert not before & leases(state), "they were made anew, not waited for until they expired"


def test_other_numbers_add_and_remove_nodes(state: State) -> None:
    before = pids(state)
    up(state, {"cpu_nodes": 3, "gpu_nodes": 1}, print)
    wait_until(
        "the nodes are as asked for",
        lambda: (
            kubectl(state, "get", "nodes", "-o", "name").split()
            == ["node/cpu-0", "node/cpu-1", "node/cpu-2", "node/gpu-0"]
        ),
    )
    assert pids(state) == before


def test_after_a_stop_and_after_a_crash_everything_is_found_again(state: State) -> None:
    kubectl(state, "create", "configmap", "kept", "--from-literal=a=1")
    supervisor = Supervisor(state.supervisor_directory)
    # A tenant's programs are in a group of their own.
    supervisor.apply("tenant-1", [Program("x", ("sleep", "1000"), state.logs / "x.log")])
    before = pids(state)
    down(state, purge=False)
    assert not any(psutil.pid_exists(pid) for pid in before.values())
    up(state, {}, print)
    assert kubectl(state, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
    wait_until("the tenant's program runs", lambda: supervisor.statuses("tenant-1")[0].pid)

    # As after a power cut: no process, stale pid file and socket.
    daemon = int((state.supervisor_directory / "supervisord.pid").read_text())
    os.kill(daemon, signal.SIGKILL)
    wait_until("all are gone", lambda: not _processes(state.directory))
    up(state, {}, print)
    assert kubectl(state, "get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "1"
    wait_until("the tenant's program runs", lambda: supervisor.statuses("tenant-1")[0].pid)


def test_two_at_once_do_not_collide(state: State, work: Path) -> None:
    other = State(work / "other")
    try:
        up(other, OPTIONS, print)
        assert not set(other.ports.values()) & set(state.ports.values())
        kubectl(other, "create", "configmap", "mine")
        assert "mine" not in kubectl(state, "get", "configmaps", "-o", "name")
    finally:
        down(other, purge=True)
    assert not other.directory.exists()
    assert _processes(other.directory) == []
    assert answers(state)


def test_an_existing_cluster_serves_as_super_cluster(state: State, work: Path) -> None:
    other = State(work / "external")
    given = {"kubeconfig": str(state.kubeconfig("admin"))}
    try:
        up(other, given, print)
        assert set(pids(other)) == {"etcd", "operator", "syncer", "egress-proxy"}
        assert "tenants" in kubectl(state, "get", "namespaces", "-o", "name")
        assert "virtualclusters" in kubectl(state, "get", "crds", "-o", "name")
        before = pids(other)
        up(other, {}, print)
        assert pids(other) == before
        with pytest.raises(StateError, match="choose another --state-dir"):
            up(other, {"kubeconfig": ""}, print)
    finally:
        down(other, purge=True)
    assert _processes(other.directory) == []


def test_the_foreground_stays_until_it_is_interrupted(state: State) -> None:
    command = [sys.executable, "-c", "from vcluster.cli import main; main()", "up", "--foreground"]
    environment = os.environ | {
        "VC_STATE_DIR": str(state.directory),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Ctrl-C" in line:
                break
        before = pids(state)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=180) == 0
    assert not any(psutil.pid_exists(pid) for pid in before.values())
    up(state, {}, print)


def test_a_set_up_that_was_killed_can_be_purged_and_repeated(work: Path) -> None:
    state = State(work / "half")
    reached: list[str] = []

    class Killed(BaseException):
        pass

    def die(line: str) -> None:
        reached.append(line)
        if line.startswith("etcd ready"):
            raise Killed

    try:
        with pytest.raises(Killed):
            up(state, OPTIONS, die)
        up(state, OPTIONS, print)
        assert answers(state)
    finally:
        down(state, purge=True)
    assert not state.directory.exists()
    assert _processes(state.directory) == []


def test_the_socket_in_another_folder_is_removed_too(work: Path) -> None:
    state = State(work / ("long-" * 20) / "state")
    state.prepare()
    supervisor = Supervisor(state.supervisor_directory)
    supervisor.start()
    text = (state.supervisor_directory / "supervisord.conf").read_text()
    socket = Path(next(line[5:] for line in text.splitlines() if line.startswith("file=")))
    assert socket.exists()
    down(state, purge=True)
    assert not socket.parent.exists()


def _processes(directory: Path) -> list[list[str]]:
    """The command lines of processes that mention the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if any(str(directory) in word for word in line):
                found.append(line)
    return found


@pytest.fixture(scope="module", autouse=True)
def _programs_are_there() -> None:
    """Obtaining them may take minutes; that is not what is tested here."""
    assert shutil.which("sh")
    binaries.ensure([*CLUSTER, "kubectl", "etcdctl"], print)

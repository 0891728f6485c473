"""Streams of kubectl on a real node, in WebSockets and, as older ones do, in SPDY."""

import fcntl
import hashlib
import json
import os
import signal
import struct
import termios
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.e2e.local_system import TenantCluster, wait_for
from tests.e2e.websockets import log_by_websocket
from tests.e2e_real.containers import PROBE_SECONDS, container_pod, forwarded, is_ready

LARGE = 24_000_000
SERVER = f"head -c {LARGE} /dev/urandom > /tmp/file; exec httpd -f -p 8080 -h /tmp"
SUMMARY = "/api/v1/nodes/real-0/proxy/stats/summary"
METRICS = ("resource", "cadvisor", "probes")


@pytest.fixture(scope="module")
def pods(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a with a server, ``files``, and ``echo``, which returns its input."""
    asks = {"httpGet": {"path": "/file", "port": 8080}}
    probe = asks | {"periodSeconds": 1, "timeoutSeconds": PROBE_SECONDS}
    files, echo = container_pod("files", SERVER, "real-0"), container_pod("echo", "cat", "real-0")
    files["spec"]["containers"][0]["readinessProbe"] = probe
    echo["spec"]["containers"][0] |= {"stdin": True}
    team_a.apply(files, echo)
    for name in ("files", "echo"):
        wait_for(f"{name} is ready", partial(is_ready, team_a, name))
    yield team_a
    team_a.kubectl("delete", "pod", "files", "echo", "--grace-period=0", "--force", check=False)


@pytest.fixture(params=["true", "false"], ids=["websocket", "spdy"])
def client(pods: TenantCluster, request: pytest.FixtureRequest) -> TenantCluster:
    """A kubectl that speaks only one of the protocols."""
    names = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")
    return replace(pods, variables=dict.fromkeys(names, request.param))


def test_a_log_is_whole_over_a_websocket_too(pods: TenantCluster) -> None:
    """Its last bytes were lost if they reached the API server together with its end."""
    pods.apply(container_pod("speaks", "echo I am here; exec sleep 1000", "real-0"))
    wait_for("it speaks", lambda: pods.kubectl("logs", "speaks", check=False) == "I am here\n")
    assert [log_by_websocket(pods, "speaks") for _ in range(20)] == [b"I am here\n"] * 20
    pods.kubectl("delete", "pod", "speaks", "--grace-period=0", "--force", check=False)


def test_output_errors_and_exit_code(client: TenantCluster) -> None:
    done = client.run("exec", "files", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert "err\n" in done.stderr


def test_binary_input_of_any_size_ends_and_comes_back(client: TenantCluster) -> None:
    """The command ends because its input does: the stream is closed on one side only."""
    data = os.urandom(LARGE)
    digest = client.pipe("exec", "-i", "files", "--", "sha256sum", stdin=data)
    assert digest.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert client.pipe("exec", "-i", "files", "--", "cat", stdin=data) == data


def test_attach_speaks_with_the_container(client: TenantCluster) -> None:
    text = f"said by {os.urandom(4).hex()}"
    master, slave = os.openpty()
    process = client.at_terminal(slave, "attach", "-i", "echo")
    try:
        os.write(master, f"{text}\n".encode())
        wait_for("it is echoed", lambda: text in client.run("logs", "echo").stdout)
    finally:
        process.terminate()
        process.wait(60)
        os.close(master)
        os.close(slave)


def test_a_terminal_has_the_size_of_ours(client: TenantCluster) -> None:
    master, slave = os.openpty()
    _resize(slave, 40, 100)
    script = "while sleep 0.2; do stty size; done"
    process = client.at_terminal(slave, "exec", "-it", "files", "--", "sh", "-c", script)
    try:
        _read_until(master, "40 100")
        _resize(slave, 50, 120)
        process.send_signal(signal.SIGWINCH)
        _read_until(master, "50 120")
    finally:
        process.terminate()
        process.wait(60)
        os.close(master)
        os.close(slave)


def _resize(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _read_until(descriptor: int, text: str) -> None:
    os.set_blocking(descriptor, False)
    said = ""

    def heard() -> bool:
        nonlocal said
        try:
            said += os.read(descriptor, 65536).decode()
        except BlockingIOError:
            pass
        return text in said

    wait_for(f"the terminal shows {text!r}", heard)


def test_a_large_file_comes_through_a_forwarded_port(client: TenantCluster) -> None:
    wanted = client.kubectl("exec", "files", "--", "sha256sum", "/tmp/file").split()[0]
    with (
        forwarded(client, "files", 8080) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=60) as answer,
    ):
        assert hashlib.sha256(answer.read()).hexdigest() == wanted


def test_run_answers_and_checkpoint_is_refused(pods: TenantCluster) -> None:
    path = "/api/v1/nodes/real-0/proxy/{}/default/files/main?cmd=id"
    done = pods.run("create", "--raw", path.format("run"), "-f", "/dev/null")
    assert "uid=0" in done.stdout, done.stderr
    done = pods.run("create", "--raw", path.format("checkpoint"), "-f", "/dev/null")
    assert done.returncode
    assert "orbidden" in done.stderr


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_of_the_tenants_own_pods(
    pods: TenantCluster, team_b: TenantCluster, name: str
) -> None:
    path = f"/api/v1/nodes/real-0/proxy/metrics/{name}"
    found = wait_for("there are metrics", lambda: _with_pod(pods.kubectl("get", "--raw", path)))
    assert 'namespace="default"' in found
    assert pods.key not in found
    other = team_b.kubectl("get", "--raw", path)
    assert 'pod="files"' not in other
    assert pods.key not in other


def _with_pod(text: str) -> str:
    return text if 'pod="files"' in text else ""


def test_the_nodes_totals_are_the_sum_of_the_tenants_pods(pods: TenantCluster) -> None:

    def with_both() -> str:
        text = pods.kubectl("get", "--raw", SUMMARY)
        names = {pod["podRef"]["name"] for pod in json.loads(text)["pods"]}
        return text if {"files", "echo"} <= names else ""

    # The kubelet measures a container some seconds after it has begun.
    text = wait_for("both pods are measured", with_both)
    summary = json.loads(text)
    used = sum(pod.get("memory", {}).get("workingSetBytes", 0) for pod in summary["pods"])
    assert summary["node"]["memory"]["workingSetBytes"] == used
    assert pods.key not in text

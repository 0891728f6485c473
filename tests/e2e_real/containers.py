"""Pods that really run something, and what they said."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.local_system import Object, TenantCluster, wait_for
from tests.e2e.objects import pod
from vcluster.local.real_nodes.images import BUSYBOX

PROBE_SECONDS = 20
"""In the second that is usual a busy machine may not even have started what a probe asks."""
ANSWER = "hello from a container"
SERVER = f"mkdir /www; echo {ANSWER} > /www/index.html; exec httpd -f -p 8080 -h /www"


def container_pod(
    name: str, script: str, node: str = "", image: str = BUSYBOX, **spec: Any
) -> Object:
    """A pod labelled ``app=name`` that runs a shell script, on the named node if any."""
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", script],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    chosen = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    wanted = pod(name, containers=[container], **chosen, **spec)
    wanted["metadata"]["labels"] = {"app": name}
    return wanted


def web_pod(name: str, node: str) -> Object:
    """A pod that serves ANSWER on port 8080 and is Ready when it does."""
    wanted = container_pod(name, SERVER, node)
    wanted["spec"]["containers"][0]["readinessProbe"] = {
        "httpGet": {"path": "/", "port": 8080},
        "periodSeconds": 1,
        "timeoutSeconds": PROBE_SECONDS,
    }
    return wanted


def said(tenant: TenantCluster, name: str, script: str, **options: Any) -> str:
    """What a script says in a pod of the tenant: its output, also if it fails."""
    told = f"({script}) > /dev/termination-log 2>&1"
    tenant.apply(container_pod(name, told, restartPolicy="Never", **options))
    state = wait_for(f"pod {name} has ended", lambda: _terminated(tenant, name))
    tenant.kubectl("delete", "pod", name, "--wait=false")
    return str(state.get("message", ""))


def _terminated(tenant: TenantCluster, name: str) -> Object | None:
    found = tenant.get("pod", name) or {}
    statuses = found.get("status", {}).get("containerStatuses") or [{}]
    state: Object | None = statuses[0].get("state", {}).get("terminated")
    return state


def is_ready(tenant: TenantCluster, name: str) -> Object | None:
    """The pod, once it is Ready."""
    found = tenant.get("pod", name) or {}
    conditions = found.get("status", {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return found if ready else None


@contextmanager
def forwarded(tenant: TenantCluster, pod: str, port: int) -> Iterator[int]:
    """A port here, of kubectl's choice, that leads to one of the pod."""
    process = tenant.start("port-forward", f"pod/{pod}", f":{port}")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def watched(process: subprocess.Popen[str]) -> Iterator[Object]:
    """The events that a watch of kubectl prints, one a line, as they come, until it ends."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            yield json.loads(line)

"""A local super cluster for tests, driven as a person would: through ``vc`` and ``kubectl``."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

Object = dict[str, Any]
T = TypeVar("T")
PATIENCE = 150.0
"""Seconds. A wait ends as soon as it may; machines that build or test something else are slow."""
KUBECTL_SECONDS = 300.0
"""For one command, longer than any wait of its own, so that it is kubectl that says what is missing."""


def wait_for(what: str, condition: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """The first value of ``condition`` that is true; AssertionError that names ``what``.

    A kubectl that fails says "not yet": an API server that has just started refuses its administrator too.
    """
    deadline = time.monotonic() + seconds
    while True:
        problem = ""
        try:
            if found := condition():
                return found
        except KubectlFailed as error:
            problem = f" ({error})"
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}{problem}"
        time.sleep(0.1)  # between two looks


class KubectlFailed(AssertionError):
    """With what it said."""


@dataclass(frozen=True)
class Cluster:
    """An API server, through kubectl."""

    kubectl_program: Path
    kubeconfig: Path
    variables: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """More of kubectl's environment."""

    def run(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl to its end, however it ends."""
        return subprocess.run(
            [str(self.kubectl_program), *args],
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=KUBECTL_SECONDS,
        )

    def pipe(self, *args: str, stdin: bytes) -> bytes:
        """What kubectl writes when it has read ``stdin`` to its end; AssertionError if it fails."""
        done = subprocess.run(
            [str(self.kubectl_program), *args],
            input=stdin,
            env=self._environment,
            capture_output=True,
            check=False,
            timeout=KUBECTL_SECONDS,
        )
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr.decode()}"
        return done.stdout

    def at_terminal(self, descriptor: int, *args: str) -> subprocess.Popen[bytes]:
        """Start kubectl at a terminal; the caller ends it."""
        return subprocess.Popen(
            [str(self.kubectl_program), *args],
            env=self._environment,
            stdin=descriptor,
            stdout=descriptor,
            stderr=descriptor,
        )

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start kubectl; the caller ends it."""
        return subprocess.Popen(
            [str(self.kubectl_program), *args],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        own = {"KUBECONFIG": str(self.kubeconfig), "PATH": os.environ["PATH"], "HOME": "/"}
        return own | dict(self.variables)

    def kubectl(self, *args: str, stdin: str = "", check: bool = True) -> str:
        """What kubectl prints; KubectlFailed with its message if it fails and ``check``."""
        done = self.run(*args, stdin=stdin)
        if check and done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(args)}: {done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *objects: Object) -> None:
        """Server-side strictness as any kubectl apply."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """One object, or None."""
        found = self.kubectl("get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else None

    def items(self, kind: str, *args: str) -> list[Object]:
        """Objects; namespaces by ``-n`` or ``-A`` in ``args``."""
        items: list[Object] = json.loads(self.kubectl("get", kind, *args, "-o", "json"))["items"]
        return items

    def events(self, name: str, namespace: str = "default") -> list[Object]:
        """The events about an object of that name."""
        selector = f"involvedObject.name={name}"
        return self.items("events", "-n", namespace, "--field-selector", selector)


@dataclass(frozen=True)
class TenantCluster(Cluster):
    """A tenant, as its admin sees it."""

    name: str
    key: str

    def super_namespace(self, namespace: str = "default") -> str:
        """The super namespace of one of the tenant's (short names only)."""
        return f"{self.key}-{namespace}"


class LocalSystem:
    """``vc up`` in a state directory of its own."""

    def __init__(self, state_directory: Path) -> None:
        self.state_directory = state_directory

    def vc(
        self, *args: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a ``vc`` command against this system."""
        done = subprocess.run(
            [str(Path(sys.executable).parent / "vc"), *args],
            input=stdin,
            env=os.environ | {"VC_STATE_DIR": str(self.state_directory)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert not check or done.returncode == 0, f"vc {' '.join(args)}: {done.stderr}{done.stdout}"
        return done

    def up(self) -> None:
        """Start; returns when all is ready."""
        self.vc("up")

    def purge(self) -> None:
        """Stop and delete, whatever there is."""
        self.vc("down", "--purge")

    @property
    def super(self) -> Cluster:
        """The super cluster, as the provider's admin."""
        state = self.state_directory
        return Cluster(state / "bin/kubectl", state / "kubeconfig/admin.kubeconfig")

    def create_tenant(self, name: str, *args: str) -> TenantCluster:
        """Make a tenant and wait until it is ready."""
        self.vc("create", name, *args)
        return self.tenant(name)

    def tenant(self, name: str, namespace: str = "tenants") -> TenantCluster:
        """A tenant that is there."""
        path = self.state_directory / f"test-{namespace}-{name}.kubeconfig"
        self.vc("kubeconfig", name, "-n", namespace, "-o", str(path))
        found = self.super.get("virtualcluster", name, namespace)
        assert found is not None
        return TenantCluster(
            self.super.kubectl_program, path, name=name, key=found["status"]["tenantKey"]
        )

    def processes(self) -> list[Object]:
        """The rows of ``vc status``."""
        rows: list[Object] = json.loads(self.vc("status", "-o", "json").stdout)
        return rows

    def pid(self, group: str, name: str) -> int:
        """The process id of a component; 0 while it is down."""
        for row in self.processes():
            if (row["group"], row["name"]) == (group, name):
                return int(row["pid"] or 0)
        raise AssertionError(f"there is no {name} in {group}")

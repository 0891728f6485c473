"""The operator as a process, to be started, killed and started again."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.integration.super_cluster import SuperCluster
from tests.integration.waiting import eventually

REPOSITORY = Path(__file__).parents[2]


class OperatorProcess:
    """At most one process at a time."""

    def __init__(
        self,
        super_cluster: SuperCluster,
        resync_seconds: float = 2.0,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        state = super_cluster.state
        self._port_file = state.directory / "operator.port"
        self._log_file = state.logs / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "OPERATOR_SUPER_KUBECONFIG": str(super_cluster.kubeconfig("operator")),
            "OPERATOR_STATE_DIRECTORY": str(state.directory),
            "OPERATOR_BINARIES_DIRECTORY": str(binaries or state.binaries),
            "OPERATOR_ETCD_ENDPOINTS": super_cluster.etcd_endpoint,
            "OPERATOR_ETCD_CA_DIRECTORY": str(state.etcd_pki),
            "OPERATOR_PORT_FILE": str(self._port_file),
            "OPERATOR_RESYNC_SECONDS": str(resync_seconds),
            **(settings or {}),
        }

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self._port_file.unlink(missing_ok=True)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vcluster.operator"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(timeout=120)
        finally:
            self.kill()

    def wait_until_ready(self) -> None:
        """As its /readyz says."""
        eventually("the operator is ready", lambda: self.answers("/readyz"), 120)

    def answers(self, path: str) -> bool:
        """Whether a health path answers 200."""
        try:
            port = int(self._port_file.read_text())
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError, urllib.error.URLError):
            return False

    @property
    def log(self) -> str:
        """All that it and its predecessors have said."""
        return self._log_file.read_text()


@contextmanager
def running_operator(
    super_cluster: SuperCluster,
    binaries: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[OperatorProcess]:
    """Ready when entered, stopped when left. Settings: further variables."""
    operator = OperatorProcess(super_cluster, binaries=binaries, settings=settings)
    operator.start()
    try:
        operator.wait_until_ready()
        yield operator
    finally:
        operator.stop()

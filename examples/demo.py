"""``make demo``: a super cluster and two tenants that run pods, and what each side sees of it.

Prints each command before it runs it, so that it can be typed again. Running it twice works.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = Path(__file__).parent
TENANTS = ("team-a", "team-b")
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")

timings: dict[str, float] = {}


def main() -> None:
    """The demo, in order of time."""
    with tempfile.TemporaryDirectory(prefix="virtualcluster-demo-") as folder:
        kubeconfigs = {name: str(Path(folder) / name) for name in TENANTS}
        bring_up(kubeconfigs)
        run_the_same_names(kubeconfigs)
        train(kubeconfigs["team-b"])
        install_two_versions(kubeconfigs)
        show_both_sides(kubeconfigs)
        show_isolation(kubeconfigs, Path(folder))
    say_next()


def bring_up(kubeconfigs: dict[str, str]) -> None:
    """The super cluster, and two tenants in it."""
    heading("A super cluster on this machine: 4 CPU nodes, 15 GPU nodes with 4 GPUs each")
    with timed("super cluster ready"):
        vc("up")
    heading("Two tenants, each with a control plane of its own")
    for name in TENANTS:
        with timed(f"{name} ready"):
            vc("create", name)
        vc("kubeconfig", name, "-o", kubeconfigs[name], quiet=True)
    vc("list")


def run_the_same_names(kubeconfigs: dict[str, str]) -> None:
    """Namespace, deployment and service of the same names in both."""
    heading("The same names in both tenants")
    for name, kubeconfig in kubeconfigs.items():
        if not kubectl(kubeconfig, "get", "namespace", "shop", "--ignore-not-found", quiet=True):
            kubectl(kubeconfig, "create", "namespace", "shop", tenant=name)
        with timed(f"{name}: web running"):
            kubectl(kubeconfig, "apply", "-n", "shop", "-f", example("web.yaml"), tenant=name)
            kubectl(
                kubeconfig, "rollout", "status", "-n", "shop", "deployment/web", "--timeout=120s",
                tenant=name,
            )  # fmt: skip


def train(kubeconfig: str) -> None:
    """A GPU job that runs to its end."""
    heading("A training job of four workers with one GPU each, in team-b")
    kubectl(kubeconfig, "delete", "job", "train", "-n", "shop", "--ignore-not-found", quiet=True)
    with timed("team-b: job complete"):
        kubectl(
            kubeconfig, "apply", "-n", "shop", "-f", example("training-job.yaml"), tenant="team-b"
        )
        kubectl(
            kubeconfig, "wait", "-n", "shop", "--for=condition=complete", "job/train",
            "--timeout=120s", tenant="team-b",
        )  # fmt: skip


def install_two_versions(kubeconfigs: dict[str, str]) -> None:
    """The same CRD in two versions at once: impossible in one cluster with namespaces alone."""
    heading("The same CRD, v1 in team-a and v2 in team-b")
    versions = (EXAMPLES / "widget-crd.yaml").read_text().split("\n---\n")
    for (name, kubeconfig), manifest in zip(kubeconfigs.items(), versions, strict=True):
        kubectl(kubeconfig, "apply", "-f", "-", tenant=name, stdin=manifest)
        established = "--for=condition=established"
        kubectl(kubeconfig, "wait", established, "crd/widgets.example.com", quiet=True)
        kubectl(kubeconfig, "api-resources", "--api-group=example.com", tenant=name)


def show_both_sides(kubeconfigs: dict[str, str]) -> None:
    """What each tenant sees, and what the super cluster holds."""
    heading("What each tenant sees")
    for name, kubeconfig in kubeconfigs.items():
        kubectl(kubeconfig, "get", "pods,services", "-n", "shop", "-o", "wide", tenant=name)
    heading("What the super cluster holds (one namespace per tenant namespace)")
    label = "virtualcluster.dev/tenant"
    kubectl(super_kubeconfig(), "get", "pods", "-A", "-l", label, "-L", label, "-o", "wide")
    vc("top")


def show_isolation(kubeconfigs: dict[str, str], folder: Path) -> None:
    """The credentials of one tenant are worth nothing at the other."""
    heading("team-a's credentials at team-b's API server")
    ours, theirs = (
        json.loads(kubectl(kubeconfigs[name], "config", "view", "--raw", "-o", "json", quiet=True))
        for name in TENANTS
    )
    ours["clusters"][0]["cluster"] = theirs["clusters"][0]["cluster"]
    mixed = folder / "mixed"
    mixed.touch(mode=0o600)
    mixed.write_text(json.dumps(ours))
    answer = kubectl(str(mixed), "get", "pods", tenant="team-a at team-b", expect_failure=True)
    if "Unauthorized" not in answer and "logged in" not in answer:
        sys.exit(f"this should have been refused: {answer}")


def say_next() -> None:
    """Timings, and what to try."""
    heading("Timings")
    for what, seconds in timings.items():
        print(f"  {what:<28} {seconds:6.1f} s")
    print(f"""
{BOLD}The system is up. Try:{PLAIN}
  vc status                       what runs
  vc connect team-a               a shell inside team-a: kubectl get nodes, kubectl get pods -A
  vc connect team-b -- kubectl get pods -n shop
  vc create team-c                a third tenant
  vc describe team-a
  make clean                      remove everything
(vc is in {Path(sys.executable).parent}: source {Path(sys.executable).parent / "activate"})
""")


class timed:  # noqa: N801
    """Remembers how long a block took."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        timings[self._what] = time.monotonic() - self._start


def heading(text: str) -> None:
    """A step of the demo."""
    print(f"\n{BOLD}== {text}{PLAIN}", flush=True)


def example(name: str) -> str:
    """The path of a manifest, as a person would type it."""
    return os.path.relpath(EXAMPLES / name)


def state_directory() -> Path:
    """Where ``vc`` keeps its state."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(os.environ.get("VC_STATE_DIR") or f"{base}/virtualcluster")


def super_kubeconfig() -> str:
    """The provider's credentials."""
    return str(state_directory() / "kubeconfig/admin.kubeconfig")


def vc(*args: str, quiet: bool = False) -> None:
    """Run ``vc``."""
    program = Path(sys.executable).parent / "vc"
    run(["vc", *args], [str(program), *args], os.environ, quiet=quiet)


def kubectl(
    kubeconfig: str,
    *args: str,
    tenant: str = "super cluster",
    stdin: str = "",
    quiet: bool = False,
    expect_failure: bool = False,
) -> str:
    """Run ``kubectl`` at one API server; what it printed."""
    program = state_directory() / "bin/kubectl"
    environment = os.environ | {"KUBECONFIG": kubeconfig}
    return run(
        ["kubectl", *args], [str(program), *args], environment,
        where=tenant, stdin=stdin, quiet=quiet, expect_failure=expect_failure,
    )  # fmt: skip


def run(
    shown: Sequence[str],
    command: Sequence[str],
    environment: "os._Environ[str] | dict[str, str]",
    *,
    where: str = "",
    stdin: str = "",
    quiet: bool = False,
    expect_failure: bool = False,
) -> str:
    """Show a command, run it, show what it prints; exit with its message if it fails."""
    if not quiet:
        prefix = f"[{where}] " if where else ""
        print(f"{DIM}{prefix}${PLAIN} {shlex.join(shown)}", flush=True)
    done = subprocess.run(
        command,
        env=dict(environment),
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet or expect_failure else None,
        check=False,
    )
    output = (done.stdout + (done.stderr or "")).rstrip()
    if output and not quiet:
        print(output, flush=True)
    if bool(done.returncode) is not expect_failure:
        sys.exit(f"{shlex.join(shown)}: exit code {done.returncode}\n{done.stderr or ''}")
    return done.stdout + (done.stderr or "")


if __name__ == "__main__":
    main()

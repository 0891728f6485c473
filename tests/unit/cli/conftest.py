"""Commands as a person types them, against a fake super cluster."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.fakes.apiserver import FakeApiServer
from vcluster.cli.main import program

Run = Callable[..., Coroutine[Any, Any, Result]]


def kubeconfig_text(server: str, name: str = "super") -> str:
    """A kubeconfig with one context."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {"token": "secret-token"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's empty home directory, in which the tests run."""
    for name in ("KUBECONFIG", "VC_STATE_DIR", "XDG_STATE_HOME", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def super_kubeconfig(home: Path, apiserver: FakeApiServer) -> Path:
    """The kubeconfig of the fake super cluster."""
    path = home / "super.kubeconfig"
    path.write_text(kubeconfig_text(apiserver.url))
    return path


@pytest.fixture
def vc(super_kubeconfig: Path) -> Run:
    """Runs ``vc`` with arguments against the fake; in a thread, because the fake needs the loop."""

    async def run(*arguments: str, stdin: str = "", kubeconfig: bool = True) -> Result:
        words = list(arguments)
        if kubeconfig:
            words[1:1] = ["--kubeconfig", str(super_kubeconfig)]
        return await asyncio.to_thread(CliRunner().invoke, program, words, input=stdin)

    return run

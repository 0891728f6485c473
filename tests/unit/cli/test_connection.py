"""Which super cluster is spoken to."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import kubeconfig_text
from vcluster.cli.connection import Target, own_kubeconfigs
from vcluster.cli.output import Failure
from vcluster.local.options import Options
from vcluster.local.state import State


def local_cluster(directory: Path) -> State:
    """A state directory as ``vc up`` leaves it."""
    state = State(directory)
    state.prepare()
    path = state.kubeconfig("admin")
    path.parent.mkdir()
    path.write_text(kubeconfig_text("https://127.0.0.1:1"))
    return state


def own(home: Path) -> Path:
    """The person's kubeconfig."""
    path = home / ".kube/config"
    path.parent.mkdir()
    path.write_text(kubeconfig_text("https://127.0.0.1:2"))
    return path


def test_a_kubeconfig_that_is_named_wins(home: Path) -> None:
    local_cluster(home / "state")
    named = home / "named"
    named.touch()
    source = Target(str(named), "there", str(home / "state")).source({})
    assert (source.kubeconfig, source.context) == (str(named), "there")


def test_a_local_super_cluster_comes_before_the_persons_kubeconfig(home: Path) -> None:
    state = local_cluster(home / "state")
    own(home)
    source = Target().source({"VC_STATE_DIR": str(home / "state")})
    assert source.kubeconfig == str(state.kubeconfig("admin"))
    assert "vc up" in source.unreachable_hint


def test_an_existing_cluster_that_vc_up_uses_is_the_local_one(home: Path) -> None:
    state = local_cluster(home / "state")
    path = own(home)
    state.update(options=Options(kubeconfig=str(path)))
    assert Target(state_dir=str(home / "state")).source({}).kubeconfig == str(path)


def test_without_a_local_super_cluster_it_is_the_persons_kubeconfig(home: Path) -> None:
    path = own(home)
    environment = {"VC_STATE_DIR": str(home / "none")}
    assert Target().source(environment).kubeconfig == str(path)


def test_a_context_is_one_of_the_persons_kubeconfig(home: Path) -> None:
    local_cluster(home / "state")
    path = own(home)
    source = Target(context="there").source({"VC_STATE_DIR": str(home / "state")})
    assert (source.kubeconfig, source.context) == (str(path), "there")


@pytest.mark.parametrize(
    ("target", "told", "hint"),
    [
        (Target(kubeconfig="/none"), "--kubeconfig /none", ""),
        (Target(state_dir="/none"), "no local super cluster in /none", "vc up --state-dir /none"),
        (Target(context="x"), "--context x", "--kubeconfig"),
        (Target(), "none runs locally", "vc up"),
    ],
)
def test_what_is_not_there_is_said(home: Path, target: Target, told: str, hint: str) -> None:
    with pytest.raises(Failure, match=r".") as failure:
        target.source({})
    assert told in failure.value.message
    assert hint in failure.value.hint


def test_the_persons_kubeconfigs_are_found_by_kubectls_rules(home: Path) -> None:
    assert own_kubeconfigs({"KUBECONFIG": "/a::/b"}) == [Path("/a"), Path("/b")]
    assert own_kubeconfigs({"KUBECONFIG": ""}) == [home / ".kube/config"]

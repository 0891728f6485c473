"""Where things are kept, what is remembered, and what must never be deleted."""

import socket
import threading
from pathlib import Path

import pytest

from vcluster.local.down import down
from vcluster.local.options import Options
from vcluster.local.state import ADDRESS, PORT_NAMES, State, StateError


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("/a", {"VC_STATE_DIR": "/b", "XDG_STATE_HOME": "/c"}, "/a"),
        (None, {"VC_STATE_DIR": "/b", "XDG_STATE_HOME": "/c"}, "/b"),
        (None, {"XDG_STATE_HOME": "/c"}, "/c/virtualcluster"),
        (None, {}, str(Path.home() / ".local/state/virtualcluster")),
    ],
)
def test_the_directory_is_found(
    given: str | None, environment: dict[str, str], expected: str
) -> None:
    assert str(State.find(given, environment).directory) == expected


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    state = State(tmp_path / "x")
    state.prepare()
    state.update(options=Options(gpu_nodes=2), ports={"etcd": 1})
    assert State(tmp_path / "x").read().options == Options(gpu_nodes=2)
    assert state.read().ports == {"etcd": 1}
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "x" / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(StateError, match=r"state\.json cannot be read"):
        State(tmp_path).read()


def test_a_folder_of_somebody_else_is_not_used_and_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    state = State(tmp_path)
    with pytest.raises(StateError, match="was not made by vc up"):
        state.prepare()
    with pytest.raises(StateError, match="was not made by vc up"):
        down(state, purge=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(StateError, match="is a file"), State(tmp_path / "x").locked():
        pass


def test_purge_deletes_everything_and_may_be_repeated(tmp_path: Path) -> None:
    state = State(tmp_path / "x")
    with state.locked():
        state.prepare()
        (state.directory / "tenants" / "a").mkdir(parents=True)
    down(state, purge=True)
    assert not state.directory.exists()
    down(state, purge=True)


def test_ports_are_kept_and_only_a_taken_one_is_replaced(tmp_path: Path) -> None:
    state = State(tmp_path / "x")
    state.prepare()
    ports = state.choose_ports(running=False)
    assert ports.keys() == set(PORT_NAMES)
    assert len(set(ports.values())) == len(PORT_NAMES)
    state.update(ports=ports)
    assert state.choose_ports(running=False) == ports
    with socket.socket() as other:
        other.bind((ADDRESS, ports["etcd"]))
        other.listen()
        assert state.choose_ports(running=True) == ports
        changed = state.choose_ports(running=False)
    assert {name for name in ports if ports[name] != changed[name]} == {"etcd"}


def test_the_lock_excludes_and_survives_a_purge(tmp_path: Path) -> None:
    state = State(tmp_path / "x")
    inside: list[str] = []

    def hold(name: str) -> None:
        with State(tmp_path / "x").locked():
            inside.append(name)
            assert len(inside) == 1
            inside.remove(name)
            State(tmp_path / "x").purge()

    threads = [threading.Thread(target=hold, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []
    assert not state.directory.exists()

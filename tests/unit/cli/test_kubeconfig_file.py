"""Merging into a person's kubeconfig: nothing is lost, nothing of theirs replaced."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli.conftest import kubeconfig_text
from vcluster.cli import kubeconfig_file
from vcluster.cli.kubeconfig import merge_target
from vcluster.cli.kubeconfig_file import dump, locked, merge, parse, write
from vcluster.cli.output import Failure

TENANT = yaml.safe_load(kubeconfig_text("https://127.0.0.1:61000", "team-a"))
PATH = Path("/home/me/.kube/config")
NAMES = st.sampled_from(["a", "b", "team-a", "prod"])
ENTRIES = st.lists(st.fixed_dictionaries({"name": NAMES, "other": st.integers()}), max_size=4)


def entry(config: dict[str, Any], field: str, name: str) -> dict[str, Any]:
    """One entry of a list by name."""
    found = [item for item in config[field] if item["name"] == name]
    assert len(found) == 1
    result: dict[str, Any] = found[0]
    return result


def test_into_nothing_it_becomes_a_kubeconfig_without_a_current_context() -> None:
    merged = merge({}, TENANT, "team-a.tenants", "key")
    assert merged["kind"] == "Config"
    assert "current-context" not in merged
    assert entry(merged, "clusters", "team-a.tenants")["cluster"]["server"].endswith(":61000")
    assert entry(merged, "users", "team-a.tenants")["user"]["token"] == "secret-token"


@given(ENTRIES, ENTRIES, ENTRIES)
def test_everything_else_stays_as_it_was(
    clusters: list[Any], users: list[Any], contexts: list[Any]
) -> None:
    mine = {
        "current-context": "prod",
        "clusters": clusters,
        "users": users,
        "contexts": contexts,
        "preferences": {"colors": True},
    }
    merged = merge(mine, TENANT, "new", "key")
    for field in ("clusters", "users", "contexts"):
        assert merged[field][:-1] == mine[field]
    assert merged["current-context"] == "prod"
    assert merged["preferences"] == {"colors": True}


def test_a_second_merge_replaces_ours_and_keeps_the_chosen_namespace() -> None:
    first = merge({}, TENANT, "x", "key")
    entry(first, "contexts", "x")["context"]["namespace"] = "mine"
    recreated = yaml.safe_load(kubeconfig_text("https://127.0.0.1:61001", "team-a"))
    second = merge(first, recreated, "x", "other-key")
    assert entry(second, "clusters", "x")["cluster"]["server"].endswith(":61001")
    assert entry(second, "contexts", "x")["context"]["namespace"] == "mine"


@pytest.mark.parametrize("field", ["clusters", "users", "contexts"])
def test_an_entry_of_the_person_is_never_replaced(field: str) -> None:
    with pytest.raises(Failure, match="which vc did not make") as failure:
        merge({field: [{"name": "x", field[:-1]: {}}]}, TENANT, "x", "key")
    assert "--context-name" in failure.value.hint


def test_values_come_out_as_they_went_in() -> None:
    text = 'users: [{name: a, user: {expiry: 2026-11-25T10:00:00Z, n: "0123", t: "yes"}}]'
    user = parse(dump(parse(text.encode(), PATH)), PATH)["users"][0]["user"]
    assert user == {"expiry": "2026-11-25T10:00:00Z", "n": "0123", "t": "yes"}


@pytest.mark.parametrize("text", ["a: [", "hello", "- a", "users: x", "users: [x]"])
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(Failure, match=str(PATH)):
        parse(text.encode(), PATH)


def test_writing_is_private_atomic_and_follows_links(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o644)
    link.symlink_to(real)
    opened = real.open()
    write(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert opened.read() == "old", "who had it open reads the old one to the end"
    opened.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_what_is_not_a_file_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=write, args=(pipe, b"data"))
    thread.start()
    assert pipe.read_bytes() == b"data"
    thread.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "config"
    counted = 30

    def add() -> None:
        for _ in range(counted):
            with locked(path):
                found = int(path.read_text()) if path.exists() else 0
                write(path, str(found + 1).encode())

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == str(2 * counted)
    assert not path.with_name("config.lock").exists()


def test_a_lock_that_stays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig_file, "LOCK_SECONDS", 0.0)
    (tmp_path / "config.lock").touch()
    with pytest.raises(Failure, match=r"config\.lock"), locked(tmp_path / "config"):
        pytest.fail("it is locked")


def test_kubectls_choice_among_several_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    assert merge_target([first, second]) == second
    first.touch()
    assert merge_target([first, second]) == first

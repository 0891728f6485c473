"""What is said of a machine that allows too little."""

from pathlib import Path

from vcluster.local.machine import advice, inotify_instances


def test_what_linux_allows_by_default_is_enough_for_some_tenants() -> None:
    said = advice(128)
    assert "fs.inotify.max_user_instances is 128, enough for some 7 tenants" in said
    assert "`sysctl -w fs.inotify.max_user_instances=1024`" in said
    assert "some 0 tenants" in advice(20)


def test_nothing_is_said_where_there_is_enough_or_nobody_knows(tmp_path: Path) -> None:
    assert not advice(512)
    assert not advice(inotify_instances(tmp_path / "none"))

"""One folder of links holds all programs."""

from pathlib import Path

from vcluster.binaries import assemble


def test_programs_are_found_by_their_names(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.write_text("first")
    assemble(tmp_path / "bin", {"etcd": server})
    assert (tmp_path / "bin" / "etcd").read_text() == "first"
    assert (tmp_path / "bin").stat().st_mode & 0o777 == 0o700


def test_again_it_changes_only_what_is_another_program(tmp_path: Path) -> None:
    programs = {"one": tmp_path / "a", "two": tmp_path / "b"}
    assemble(tmp_path / "bin", programs)
    before = (tmp_path / "bin" / "one").lstat()
    (tmp_path / "bin" / ".two.new").symlink_to("/left/by/a/killed/run")
    assemble(tmp_path / "bin", programs | {"two": tmp_path / "c"})
    assert (tmp_path / "bin" / "one").lstat().st_ino == before.st_ino
    assert (tmp_path / "bin" / "two").readlink() == tmp_path / "c"
    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"one", "two"}


def test_a_file_in_the_place_of_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("a copy")
    assemble(tmp_path, {"etcd": tmp_path / "real"})
    assert (tmp_path / "etcd").readlink() == tmp_path / "real"

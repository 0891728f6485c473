"""Edits of sources."""

from pathlib import Path

import pytest

from tests.charts.prepare import edit


def test_an_edit_that_finds_nothing_is_told(tmp_path: Path) -> None:
    file = tmp_path / "go.mod"
    file.write_text("replace a => ./pkg/a\nrequire b v1\n")
    edit(file, r"^.*=> \./pkg/.*\n", "")
    assert file.read_text() == "require b v1\n"
    with pytest.raises(AssertionError, match=r"go\.mod"):
        edit(file, r"^.*=> \./pkg/.*\n", "")

"""Modules and functions stay small enough to be read in one go."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("egress_proxy", "kube", "syncer", "vcluster", "examples", "tests")
LONGEST_MODULE = 400
LONGEST_FUNCTION = 40

LONGER_MODULES: frozenset[str] = frozenset()
"""Exceptions, each with its reason beside it."""
LONGER_FUNCTIONS: frozenset[str] = frozenset(
    {
        "tests/bench/goals.py::goals",  # a table of goals
        "vcluster/binaries/build.py::build",  # one story, told from top to bottom
    }
)
"""Exceptions as ``path::function``, each with its reason beside it."""


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with its number of lines, docstring and decorators not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node):
                lines -= (first.end_lineno or 0) - first.lineno + 1
            yield node.name, lines


def test_there_is_something_to_measure() -> None:
    assert len(list(modules())) > 50


def test_no_module_is_too_long_to_be_read_in_one_go() -> None:
    long = {
        str(path.relative_to(ROOT)): length
        for path in modules()
        if (length := len(path.read_text().splitlines())) > LONGEST_MODULE
    }
    unexplained = {name: length for name, length in long.items() if name not in LONGER_MODULES}
    assert not unexplained, f"more than {LONGEST_MODULE} lines: split, {unexplained}"
    assert set(long) == LONGER_MODULES, "an exception that is not needed any longer"


def test_no_function_is_too_long_to_be_read_in_one_go() -> None:
    long = {
        f"{path.relative_to(ROOT)}::{name}": length
        for path in modules()
        for name, length in functions(path)
        if length > LONGEST_FUNCTION
    }
    unexplained = {name: length for name, length in long.items() if name not in LONGER_FUNCTIONS}
    assert not unexplained, f"more than {LONGEST_FUNCTION} lines: split, {unexplained}"
    assert set(long) == LONGER_FUNCTIONS, "an exception that is not needed any longer"


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc", "manager"])
def test_no_module_has_a_name_that_says_nothing(name: str) -> None:
    assert not [path for path in modules() if name in (path.stem, path.parent.name)]

"""Programs as values, and as text that supervisord reads back unchanged."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser

from vcluster.supervision import Program
from vcluster.supervision.program import quote, render, split_section, validate

LOG = Path("/tmp/log")
ARGUMENTS = st.text(
    st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs", "Cc", "Zl", "Zp"))
)


@given(st.lists(ARGUMENTS, min_size=1, max_size=4))
def test_any_argument_survives_configuration_and_splitting(arguments: list[str]) -> None:
    parser = UnhosedConfigParser()
    line = " ".join(quote(argument) for argument in arguments)
    parser.read_string(f"[program:x]\ncommand=x {line}\n")
    read = parser.get("program:x", "command") % {}
    assert shlex.split(read) == ["x", *arguments]


@pytest.mark.parametrize("argument", ["a\nb", "a\0b", "a\rb"])
def test_what_cannot_be_written_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="line breaks"):
        quote(argument)


@pytest.mark.parametrize(
    ("group", "program", "word"),
    [
        ("a b", Program("x", ("true",), LOG), "group name 'a b'"),
        ("../x", Program("x", ("true",), LOG), "group name"),
        ("g", Program("x.y", ("true",), LOG), "program name 'x.y'"),
        ("g", Program("x", (), LOG), "empty command"),
        ("g", Program("x", ("true",), Path("log")), "must be absolute"),
        ("g", Program("x", ("true",), Path("/a b/log")), "white space"),
        ("g", Program("x", ("true",), LOG, follows="y"), "follows .y., which is not in .g."),
    ],
)
def test_bad_declarations_are_named(group: str, program: Program, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        validate(group, [program])


def test_a_name_twice_is_refused() -> None:
    program = Program("x", ("true",), LOG)
    with pytest.raises(ValueError, match="used twice"):
        validate("g", [program, program])


def test_the_text_does_not_depend_on_the_callers_path(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = [Program("x", ("true",), LOG)]
    before = render("g", programs, "/mark")
    monkeypatch.setenv("PATH", "/elsewhere")
    monkeypatch.setenv("TERM", "dumb")
    assert render("g", programs, "/mark") == before


def test_sections_name_group_and_program() -> None:
    assert split_section("a.b-1.kube-apiserver") == ("a.b-1", "kube-apiserver")

"""A super cluster that cannot be used: one sentence and a hint, never a traceback."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.unit.cli.conftest import Run
from vcluster.cli.failures import refusal


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            'Invalid: VirtualCluster.virtualcluster.dev "a" is invalid: [spec.nodes.mode: '
            'Unsupported value: "x": supported values: "all", "used", <nil>: Invalid value: null: '
            "some validation rules were not checked because the object was invalid; correct it]",
            'spec.nodes.mode: Unsupported value: "x": supported values: "all", "used"',
        ),
        ("Forbidden: namespaces [a] may not", "namespaces [a] may not"),
        ("404: page not found", "404: page not found"),
    ],
)
def test_a_refusal_is_told_without_the_words_around_it(message: str, expected: str) -> None:
    assert refusal(message) == expected


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(401, "Unauthorized", "Unauthorized"), "does not accept your credentials"),
        (Answer(403, "Forbidden", "you may not list"), "does not allow it: Forbidden: you may not"),
        (Answer(404, body=b"404 page not found\n"), "CRDs are not installed"),
        (Answer(500, "InternalError", "etcd is down"), "refuses: etcd is down"),
        (Answer(502, body=b"<html>Bad Gateway"), "Bad Gateway"),
    ],
)
@pytest.mark.parametrize("command", [("list",), ("top",), ("describe", "x"), ("create", "x")])
async def test_a_super_cluster_that_refuses_is_one_sentence(
    vc: Run, apiserver: FakeApiServer, answer: Answer, told: str, command: tuple[str, ...]
) -> None:
    apiserver.script.add_for_good("*", "virtualclusters", answer)
    result = await vc(*command)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len([line for line in result.stderr.splitlines() if "Traceback" in line]) == 0


async def test_a_super_cluster_that_is_down_is_one_sentence(
    vc: Run, apiserver: FakeApiServer
) -> None:
    await apiserver.stop()
    result = await vc("list")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr
    assert "refused" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in (await vc("list", "-v")).stderr
    assert "secret-token" not in result.stderr


@pytest.mark.parametrize("text", ["hello", "a: [", "", "{}", "clusters: 1", "\x00"])
async def test_a_bad_kubeconfig_is_one_sentence(vc: Run, super_kubeconfig: Path, text: str) -> None:
    await asyncio.to_thread(super_kubeconfig.write_text, text)
    result = await vc("list")
    assert result.exit_code == 1
    assert f"{super_kubeconfig} cannot be used" in result.stderr
    assert result.stderr.startswith("Error: ")

"""The documents say what the code does."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from egress_proxy import metrics as egress_metrics
from egress_proxy.settings import Settings as EgressSettings
from node_agent import metrics as agent_metrics
from node_agent.settings import Settings as AgentSettings
from syncer import metrics
from syncer.kinds import downward_kinds, upward_kinds
from syncer.settings import Settings as SyncerSettings
from vcluster import api
from vcluster.operator.settings import Settings as OperatorSettings

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DOCUMENTS = "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))

SETTINGS = [
    pytest.param(variable, field, id=variable)
    for prefix, settings in (
        ("SYNCER_", SyncerSettings),
        ("OPERATOR_", OperatorSettings),
        ("NODE_AGENT_", AgentSettings),
        ("EGRESS_PROXY_", EgressSettings),
    )
    for field in msgspec.structs.fields(settings)
    for variable in [prefix + field.name.upper()]
]
METRICS = [
    family.name
    for registry in (metrics.REGISTRY, agent_metrics.REGISTRY, egress_metrics.REGISTRY)
    for family in registry.collect()
]
KINDS = [kind.resource.kind for kind in downward_kinds([])] + [
    kind.resource.kind for kind in upward_kinds(api.NODE_AGENT_PORT)
]


def row_of(variable: str) -> str:
    """The row of a table that is about a variable."""
    rows = [
        row for row in OPERATIONS.splitlines() if row.startswith("|") and f"`{variable}`" in row
    ]
    assert rows, f"docs/operations.md has no row for {variable}"
    return rows[0]


def test_the_changelog_begins_with_the_version_that_is_built() -> None:
    project: Any = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == project["version"]


@pytest.mark.parametrize(("variable", "field"), SETTINGS)
def test_every_setting_is_documented_with_its_default(
    variable: str, field: msgspec.structs.FieldInfo
) -> None:
    row = row_of(variable)
    if field.default not in ("", 0, None):
        shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        cells = re.split(r"[|,]", row)
        assert shown in [cell.strip(" `") for cell in cells], f"the default is {shown}: {row}"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = set(
        re.findall(r"`((?:SYNCER|OPERATOR|NODE_AGENT|EGRESS_PROXY)_[A-Z_]+)`", DOCUMENTS)
    )
    assert documented <= {str(parameter.values[0]) for parameter in SETTINGS}


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_documented(metric: str) -> None:
    assert re.search(rf"`{metric}(_total)?`", DOCUMENTS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_mirrored_kind_is_documented(kind: str) -> None:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", kind).lower()
    assert re.search(rf"\b{kind}s?\b|\b{words}(e?s)?\b", DOCUMENTS), f"{kind} is nowhere in docs/"


def event_reasons() -> set[str]:
    """The literal reasons of all refusals and messages in the syncer."""
    return {
        text
        for path in (ROOT / "syncer").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"Refused", "refuse", "tell"}
        for argument in node.args[1:-1]
        if isinstance(argument, ast.Constant) and isinstance(text := argument.value, str)
        if re.fullmatch(r"[A-Z]\w+", text)
    }


def test_every_reason_that_a_tenant_is_told_is_documented() -> None:
    reasons = event_reasons()
    assert len(reasons) > 5
    assert not [reason for reason in reasons if f"`{reason}`" not in OPERATIONS]


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing

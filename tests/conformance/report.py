"""Both sides next to each other. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.conformance.suite import Outcome, Result

Side = Mapping[str, Result]


def text(bare: Side, tenant: Side) -> str:
    """A table of counts, and each test that did not pass on both sides."""
    lines = [
        "| | passed | failed | skipped |",
        "| --- | --- | --- | --- |",
        _row("bare super cluster", bare),
        _row("tenant", tenant),
        "",
    ]
    differing = [name for name in sorted({*bare, *tenant}) if _notable(name, bare, tenant)]
    if differing:
        lines += [
            "| test | super cluster | tenant | the tenant's reason |",
            "| --- | --- | --- | --- |",
        ]
    for name in differing:
        one, other = bare.get(name), tenant.get(name)
        reason = (other.reason if other else "") or (one.reason if one else "")
        first = reason.partition("\n")[0].replace("|", "\\|")[:160]
        lines.append(f"| {name} | {_outcome(one)} | {_outcome(other)} | {first} |")
    return "\n".join(lines) + "\n"


def only_in_tenant(bare: Side, tenant: Side) -> Sequence[str]:
    """What fails in the tenant, and passes on the bare super cluster."""
    return [
        name
        for name, result in sorted(tenant.items())
        if result.outcome is Outcome.FAILED
        and name in bare
        and bare[name].outcome is Outcome.PASSED
    ]


def _notable(name: str, bare: Side, tenant: Side) -> bool:
    outcomes = {side[name].outcome if name in side else None for side in (bare, tenant)}
    return outcomes != {Outcome.PASSED}


def _outcome(result: Result | None) -> str:
    return result.outcome if result else "not run"


def _row(title: str, side: Side) -> str:
    counts = Counter(result.outcome for result in side.values())
    figures = (counts[outcome] for outcome in Outcome)
    return f"| {title} | {' | '.join(map(str, figures))} |"

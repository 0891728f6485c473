"""A quota in figures, for people and for programs. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from kube.objects import Object
from kube.quantities import quantity
from syncer.admission.ledger import Ledger, is_binary
from vcluster import api

NAMESPACE = "kube-system"


class Figures(NamedTuple):
    """What is allowed and what is used of it, as quantities by key."""

    hard: Mapping[str, str]
    used: Mapping[str, str]


def figures(ledger: Ledger) -> Figures:
    """Of a ledger that is known."""
    names = sorted(ledger.hard)
    return Figures(
        *(
            {name: quantity(amounts.get(name, 0), binary=is_binary(name)) for name in names}
            for amounts in (ledger.hard, ledger.used)
        )
    )


def config_map(told: Figures) -> Object:
    """What the tenant can read of its quota, in its own API server."""
    lines = [f"{name}: {told.used[name]} of {hard}" for name, hard in told.hard.items()]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": api.QUOTA_CONFIG_MAP, "namespace": NAMESPACE},
        "data": {
            "hard.yaml": _yaml(told.hard),
            "used.yaml": _yaml(told.used),
            "summary": "\n".join(lines) + "\n",
        },
    }


def _yaml(amounts: Mapping[str, str]) -> str:
    return "".join(f'{name}: "{amount}"\n' for name, amount in amounts.items())

"""How far the certificates of pods are; kept in memory only, as the keys of requests are."""

import math
from dataclasses import dataclass

from syncer.private_keys import PrivateKey


@dataclass(slots=True)
class Asked:
    """A request that waits for its signer."""

    name: str
    key: PrivateKey
    since: float
    """In epoch seconds, like all times here."""


@dataclass(slots=True)
class Issuing:
    """The certificate of one projected source."""

    due: float = 0.0
    """When the one in the super Secret is to be renewed; 0: there is none."""
    end: float = math.inf
    """When that one is no longer good."""
    asked: Asked | None = None
    refused: bool = False
    """The signer has denied it, or has failed: a kubelet does not ask again until it is restarted."""
    overdue: bool = False
    """The pod has been told that the renewal is late."""
    ended: bool = False
    """The pod has been told that the certificate has ended."""

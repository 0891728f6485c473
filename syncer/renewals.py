"""What is renewed in the super Secrets of a tenant's pods: when, and how far their certificates are."""

import asyncio
import math
import time
from dataclasses import dataclass

from kube.objects import ObjectKey
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


class Renewals(dict[ObjectKey, float]):
    """When what is in a super Secret is due for renewal."""

    def __init__(self) -> None:
        super().__init__()
        self.sooner = asyncio.Event()
        """A renewal has been planned for now: whoever waits for the next one looks again."""
        self.issuing: dict[ObjectKey, dict[str, Issuing]] = {}
        """Of Secrets with certificates: how far each is, by the beginning of its keys there.

        In memory only: it holds the keys of requests that wait for their signers.
        """

    def plan(self, key: ObjectKey, due: float) -> None:
        """The Secret was made: renew what is in it then."""
        self[key] = due
        if due <= time.time():
            self.sooner.set()

    def forget(self, key: ObjectKey) -> None:
        """The Secret is gone, and with it the keys of what was asked for it."""
        self.pop(key, None)
        self.issuing.pop(key, None)

    def advance(self, seconds: float) -> None:
        """All are due earlier than was planned."""
        for key in self:
            self[key] -= seconds
        for one in (one for found in self.issuing.values() for one in found.values()):
            one.due, one.end = one.due and one.due - seconds, one.end - seconds

"""Asks a tenant's API server, with the very token that a client has shown, what that may see.

So the agent needs no credential in any tenant: whoever has a token may ask what it is good for
(SelfSubjectAccessReview), and a token that is expired or whose pod is gone is refused there.
"""

import asyncio
import time
from hashlib import sha256
from http import HTTPStatus

import msgspec

from kube.client import Client
from kube.connection import Credentials, FixedCredentials
from kube.errors import ApiError, Forbidden, Unauthorized, Unreachable
from kube.http2.transport import transport_for
from kube.objects import ObjectKey, encode
from kube.resources import Resource
from node_agent.http1 import Refused
from node_agent.tokens import Issuer, Token, Unauthenticated

SELF_SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)
REVIEW_SECONDS = 5.0
FRESH_SECONDS = 10.0
"""So long a yes is remembered; a kubelet does so for minutes."""
MOST_REMEMBERED = 1024
REVIEWS_AT_ONCE = 2
"""Of one tenant: one whose API server hangs keeps only its own clients waiting."""


class _Status(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Status


_decode = msgspec.json.Decoder(_Review).decode


class Reviews:
    """Knows for a moment who may do what."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._allowed: dict[tuple[str, bytes, tuple[str, ...]], float] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def check(
        self, tenant: str, issuer: Issuer, token: Token, subresources: tuple[str, ...]
    ) -> None:
        """Return if the token's owner may get one of the node's subresources.

        Raises Unauthenticated if the token holds no more, Refused if its owner may not, or if nobody
        can say so.
        """
        question = (tenant, sha256(token.text.encode()).digest(), subresources)
        async with self._turns.setdefault(tenant, asyncio.Semaphore(REVIEWS_AT_ONCE)):
            if time.monotonic() < self._allowed.get(question, 0.0):
                return
            credentials = Credentials(issuer.server, issuer.authority, token=token.text)
            client = Client(transport_for(FixedCredentials(credentials)), REVIEW_SECONDS)
            try:
                for subresource in subresources:
                    if await self._may(client, subresource):
                        break
                else:
                    raise Refused(
                        HTTPStatus.FORBIDDEN,
                        f"it needs the right to get nodes/{' or nodes/'.join(subresources)}",
                    )
            except Unauthorized as error:
                raise Unauthenticated("the tenant's API server refuses the token") from error
            except (ApiError, Unreachable, msgspec.MsgspecError) as error:
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "the tenant's API server does not answer"
                ) from error
            finally:
                await client.close()
        if len(self._allowed) >= MOST_REMEMBERED:
            self._allowed.clear()
        self._allowed[question] = time.monotonic() + FRESH_SECONDS

    async def _may(self, client: Client, subresource: str) -> bool:
        attributes = {"verb": "get", "resource": "nodes", "subresource": subresource}
        body = {
            "apiVersion": SELF_SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": SELF_SUBJECT_ACCESS_REVIEWS.kind,
            "spec": {"resourceAttributes": attributes | {"version": "v1", "name": self._node}},
        }
        try:
            answer = await client.create(
                SELF_SUBJECT_ACCESS_REVIEWS, ObjectKey("", ""), encode(body)
            )
        except Forbidden:
            return False
        return _decode(answer).status.allowed

"""Service accounts of a tenant ask for reports: with a token that its key has signed, as far as its API
server lets them."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from structlog.testing import capture_logs

from kube.resources import CONFIG_MAPS
from node_agent.tokens import key_id
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually_so
from tests.unit.node_agent.tenants import TenantUnderTest
from tests.unit.node_agent.world import World
from vcluster import api
from vcluster.pki.authority import KeyPair, create_signing_key

METRICS, PODS, LOGS = "/metrics/resource", "/pods", "/containerLogs/default/web/web"
EXPOSITION = (
    b"# TYPE container_memory_working_set_bytes gauge\n"
    b'container_memory_working_set_bytes{container="web",namespace="%s",pod="web"} 7\n'
)
REVIEWS = "selfsubjectaccessreviews"


@dataclass
class Issuing:
    """A tenant whose API server issues tokens, and answers what they are good for."""

    tenant: TenantUnderTest
    pair: KeyPair = field(default_factory=create_signing_key)
    server: FakeApiServer = field(default_factory=FakeApiServer)

    def token(self, **header: str) -> str:
        """As kube-apiserver makes one."""
        key = serialization.load_pem_private_key(self.pair.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        whole = {"alg": "ES256", "kid": key_id(key.public_key())} | header
        signed = f"{_encoded(json.dumps(whole).encode())}.{_encoded(b'{}')}"
        numbers = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(b''.join(number.to_bytes(32) for number in numbers))}"

    def says(self, status: int, allowed: bool = False) -> None:
        """What its API server answers from now on."""
        review = {"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}}
        body = json.dumps(review).encode()
        effect = Answer(status, body=body if status == 201 else None)
        self.server.script.add_for_good("POST", REVIEWS, effect)

    def published(self) -> dict[str, Any]:
        data = {
            api.TOKEN_KEY_KEY: self.pair.certificate.decode(),
            api.API_SERVER_KEY: self.server.url,
        }
        found = self.tenant.published()
        return found | {"data": found["data"] | data}


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
async def team_c(world: World) -> AsyncIterator[Issuing]:
    """A tenant whose tokens the agent takes, with a pod."""
    team = Issuing(TenantUnderTest("team-c-33333333"))
    await team.server.start()
    world.make_namespace(team.tenant.key)
    world.super.create(CONFIG_MAPS, team.published())
    world.run_pod(team.tenant.super_pod())
    world.kubelet.reports[METRICS] = EXPOSITION % team.tenant.super_namespace().encode()
    await world.knows(team.tenant)
    yield team
    await team.server.stop()


async def asked(world: World, token: str, path: str = METRICS) -> int:
    return (await world.ask(None, "GET", path, {"Authorization": f"Bearer {token}"})).status


async def test_who_may_is_told_of_the_tenants_own_pods(world: World, team_c: Issuing) -> None:
    team_c.says(201, allowed=True)
    headers = {"Authorization": f"Bearer {team_c.token()}"}
    answer = await world.ask(None, "GET", METRICS, headers)
    assert answer.status == 200
    assert 'namespace="default"' in answer.text
    [call] = team_c.server.script.calls("POST", REVIEWS)
    assert call.json["spec"]["resourceAttributes"] == {
        "verb": "get", "resource": "nodes", "subresource": "metrics", "version": "v1", "name": "node-1",
    }  # fmt: skip
    assert await asked(world, team_c.token()) == 200, "it is asked again, with another signature"
    assert (await world.ask(None, "GET", METRICS, headers)).status == 200
    assert len(team_c.server.script.calls("POST", REVIEWS)) == 2, "a yes is remembered"


@pytest.mark.parametrize(
    ("status", "answered", "questions"),
    [(201, 403, 2), (403, 403, 2), (401, 401, 1), (500, 503, 1)],
)
async def test_who_may_not_is_told_so(
    world: World, team_c: Issuing, status: int, answered: int, questions: int
) -> None:
    team_c.says(status)
    asked_before = len(world.kubelet.requests)
    for _ in range(2):
        assert await asked(world, team_c.token(), PODS) == answered
    assert len(team_c.server.script.calls("POST", REVIEWS)) == 2 * questions
    assert len(world.kubelet.requests) == asked_before


async def test_pods_are_not_reached_with_a_token(world: World, team_c: Issuing) -> None:
    team_c.says(201, allowed=True)
    for path in (LOGS, "/exec/default/web/web"):
        assert await asked(world, team_c.token(), path) in (400, 403, 405)
    assert not team_c.server.script.calls("POST", REVIEWS)


async def test_strangers_tokens_are_shown_to_nobody(world: World, team_c: Issuing) -> None:
    team_c.says(201, allowed=True)
    stranger = Issuing(team_c.tenant)
    genuine = team_c.token()
    header, payload, signature = genuine.split(".")
    forged = [
        stranger.token(),
        stranger.token(kid=json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]),
        team_c.token(alg="none"),
        team_c.token(alg="HS256"),
        f"{header}.{_encoded(b'{}x')}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}.{_encoded(bytes(64))}",
        f"{header}.{payload}.{_encoded(bytes(640))}",
        f"{header}.{payload}",
        "x" * 9000,
        "é.è.à",
    ]
    for token in forged:
        with capture_logs() as logs:
            assert await asked(world, token) == 401, token
        assert token not in str(logs)
    assert not team_c.server.script.calls("POST", REVIEWS)


async def test_a_key_that_two_tenants_have_is_nobodys(world: World, team_c: Issuing) -> None:
    team_c.says(201, allowed=True)
    assert await asked(world, team_c.token()) == 200
    twin = Issuing(TenantUnderTest("team-d-44444444"), team_c.pair, team_c.server)
    world.make_namespace(twin.tenant.key)
    world.super.create(CONFIG_MAPS, twin.published())

    async def refused() -> bool:
        return await asked(world, team_c.token()) == 401

    await eventually_so(refused, "the twin is seen")

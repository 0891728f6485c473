"""Who is refused, and that it is refused before anything is done, logged once, and without secrets."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from structlog.testing import capture_logs

from kube.objects import Object, encode
from kube.resources import CONFIG_MAPS, PODS
from tests.fakes.waiting import eventually, eventually_so
from tests.unit.node_agent.tenants import NOW, TenantUnderTest, an_authority, key_of
from tests.unit.node_agent.world import World, running_world
from vcluster import api
from vcluster.pki.authority import KeyPair, Subject, Usage, Validity

LOGS = "/containerLogs/default/web/web"
SECRET = "hunter2"
NEXT = "GET /pods HTTP/1.1\r\nHost: x\r\n\r\n"
YESTERDAY = Validity(NOW - timedelta(days=2), NOW - timedelta(days=1))
TOMORROW = Validity(NOW + timedelta(days=1), NOW + timedelta(days=2))


def strangers() -> dict[str, Callable[[World], KeyPair | None]]:
    """Whoever is no tenant's API server, by what is wrong with it."""

    def copied_name(world: World) -> KeyPair:
        """The authority's name is the tenant's own, its key is not."""
        name = world.team_a.authority.pair.x509.subject.rfc4514_string().removeprefix("CN=")
        return TenantUnderTest("x", an_authority(name)).client()

    def self_made(_world: World) -> KeyPair:
        return an_authority(api.KUBELET_CLIENT_USER).pair

    return {
        "no certificate": lambda _world: None,
        "of the super cluster": lambda _world: TenantUnderTest("x").client(),
        "expired": lambda world: world.team_a.client(validity=YESTERDAY),
        "not yet valid": lambda world: world.team_a.client(validity=TOMORROW),
        "self-made": self_made,
        "an authority of the same name": copied_name,
        "another user of the tenant": lambda world: world.team_a.client(api.ADMIN_USER),
        "a user with a similar name": lambda world: world.team_a.client(
            f"{api.KUBELET_CLIENT_USER} "
        ),
        "a server of the tenant": lambda world: world.team_a.client(usage=Usage.SERVER),
        "the tenant's authority itself": lambda world: world.team_a.authority.pair,
        "of the agents' own authority": lambda world: world.authority.issue(
            Subject(api.KUBELET_CLIENT_USER), Usage.CLIENT, Validity.lasting(timedelta(1), NOW)
        ),
        "a chain by way of the tenant's user": chained,
        "an authority below the tenant's": lambda world: odd(
            world, x509.BasicConstraints(ca=True, path_length=0)
        ),
        "what nobody understands": lambda world: odd(
            world, x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.5.5"), b"x")
        ),
    }


def odd(world: World, extension: x509.ExtensionType) -> KeyPair:
    """The certificate of the tenant's API server but for one critical extension."""
    honest = world.team_a.client()
    authority = load_pem_private_key(world.team_a.authority.pair.key, None)
    assert isinstance(authority, EllipticCurvePrivateKey)
    template = honest.x509
    builder = x509.CertificateBuilder(
        template.issuer,
        template.subject,
        template.public_key(),
        template.serial_number,
        template.not_valid_before_utc,
        template.not_valid_after_utc,
    ).add_extension(extension, critical=True)
    for one in template.extensions:
        if one.oid != extension.oid:
            builder = builder.add_extension(one.value, one.critical)
    certificate = builder.sign(authority, SHA256())
    return KeyPair(certificate.public_bytes(Encoding.PEM), honest.key)


def chained(world: World) -> KeyPair:
    """Signed by a key that the tenant's authority has certified for something else."""
    admin = world.team_a.client(api.ADMIN_USER)
    forged = replace(world.team_a.authority, pair=admin).issue(
        Subject(api.KUBELET_CLIENT_USER), Usage.CLIENT, Validity.lasting(timedelta(1), NOW)
    )
    return KeyPair(forged.certificate + admin.certificate, forged.key)


@pytest.mark.parametrize("stranger", strangers())
async def test_strangers_get_401_and_nothing_is_done(world: World, stranger: str) -> None:
    with capture_logs() as logs:
        headers = {"Authorization": f"Bearer {SECRET}"}
        answer = await world.ask(strangers()[stranger](world), "GET", f"{LOGS}?x={SECRET}", headers)
    assert answer.status == 401
    assert answer.text == "Unauthorized\n"
    assert not world.kubelet.requests
    assert_refused_once(logs, 401)


def request(*lines: str, behind: str = "") -> bytes:
    return ("\r\n".join([*lines, "", ""]) + behind).encode("latin-1")


def assert_refused_once(logs: Any, status: int) -> None:
    """One line, without what the client must keep to itself."""
    [line] = [entry for entry in logs if entry["event"] == "refused"]
    assert line["status"] == status
    assert SECRET not in str(logs)
    assert "BEGIN" not in str(logs)


async def test_the_tenant_is_the_one_whose_authority_signed(world: World) -> None:
    """Each asks for ``default/web`` in the same words, and gets its own."""
    for tenant in (world.team_a, world.team_b):
        assert (await world.ask(tenant.client(), "GET", LOGS)).status == 200
        assert world.kubelet.requests[-1].target.split("/")[2] == tenant.super_namespace()


async def test_authorities_with_equal_names_stay_apart(world: World) -> None:
    subjects = {t.authority.pair.x509.subject for t in (world.team_a, world.team_b)}
    assert len(subjects) == 1, "the tenants' authorities have the same name here"
    world.super.delete(PODS, key_of(world.team_b.super_pod()), grace=0)
    gone = key_of(world.team_b.super_pod())
    await eventually_so(lambda: _status(world, world.team_b, 404), f"{gone} is not known any more")
    assert await _status(world, world.team_a, 200)


async def _status(world: World, tenant: TenantUnderTest, status: int) -> bool:
    return (await world.ask(tenant.client(), "GET", LOGS)).status == status


async def test_an_authority_that_two_tenants_have_is_nobodys(world: World) -> None:
    twin = TenantUnderTest("team-c-33333333", world.team_a.authority)
    world.publish(twin)
    await eventually_so(lambda: _status(world, world.team_a, 401), "the twin is seen")


async def test_authorities_come_and_go(world: World) -> None:
    late = TenantUnderTest("team-c-33333333")
    assert await _status(world, late, 401)
    world.publish(late)
    await eventually_so(lambda: _status(world, late, 404), "the new tenant is known")
    world.super.delete(CONFIG_MAPS, key_of(late.published()))
    await eventually_so(lambda: _status(world, late, 401), "the tenant is forgotten")


@pytest.mark.parametrize("mark", [{api.COMPONENT_LABEL: "pki"}, {api.COMPONENT_LABEL: ""}])
async def test_what_the_operator_has_not_published_counts_for_nothing(
    world: World, mark: dict[str, str]
) -> None:
    """A tenant's own ConfigMap of that name, mirrored into its super namespace."""
    intruder = TenantUnderTest(world.team_b.super_namespace())
    world.super.create(CONFIG_MAPS, intruder.published(**mark))
    last = TenantUnderTest("last-44444444")
    world.publish(last)
    await eventually_so(lambda: _status(world, last, 404), "what came later is known")
    assert await _status(world, intruder, 401)


async def test_a_pod_made_anew_under_its_name_is_another_one(world: World) -> None:
    """Between two requests; the client still means the first one."""
    tenant, first = world.team_a, world.team_a.super_pod()
    uid = first["metadata"]["annotations"][api.UID_ANNOTATION]
    path = f"/run/default/web/{uid}/web?cmd=id"
    assert (await world.ask(tenant.client(), "POST", path)).status == 200
    world.super.delete(PODS, key_of(first), grace=0)
    world.run_pod(tenant.super_pod(generation=2))
    with capture_logs() as logs:

        async def refused() -> bool:
            logs.clear()
            return (await world.ask(tenant.client(), "POST", path)).status == 404

        await eventually_so(refused, "the new pod is known")
    assert_refused_once(logs, 404)
    assert (await world.ask(tenant.client(), "POST", "/run/default/web/web?cmd=id")).status == 200


async def test_a_pod_replaced_in_this_very_moment_is_not_touched(world: World) -> None:
    """The kubelet has a new one already, and we have not heard of it."""
    world.kubelet.pods[world.team_a.super_namespace(), "web"] = "another-uid"
    answer = await world.ask(world.team_a.client(), "POST", "/run/default/web/web?cmd=id")
    assert answer.status == 404


@pytest.mark.parametrize(
    "forged",
    [
        {"labels": {api.TENANT_LABEL: "team-b-2222"}},
        {"annotations": {api.NAMESPACE_ANNOTATION: "other"}},
        {"annotations": {api.NAME_ANNOTATION: "web"}},
        {"annotations": {api.UID_ANNOTATION: ""}},
        {"labels": {api.TENANT_LABEL: ""}},
    ],
)
async def test_a_pod_whose_marks_contradict_each_other_is_nobodys(
    world: World, forged: dict[str, dict[str, str]]
) -> None:
    pod = world.team_a.super_pod("forged")
    for name, value in forged.items():
        pod["metadata"][name] |= value
    world.run_pod(pod)
    world.run_pod(world.team_a.super_pod("honest"))

    async def asked(name: str) -> int:
        path = f"/containerLogs/default/{name}/web"
        return (await world.ask(world.team_a.client(), "GET", path)).status

    async def known() -> bool:
        return await asked("honest") == 200

    await eventually_so(known, "what came later is known")
    assert await asked("forged") == 404
    names = ("forged", "honest")
    world.kubelet.reports["/pods"] = encode(
        {"items": [_running(world, world.team_a.super_pod(name)) for name in names]}
    )
    for tenant, shown in ((world.team_a, ["honest"]), (world.team_b, [])):
        answer = await world.ask(tenant.client(), "GET", "/pods")
        assert [item["metadata"]["name"] for item in json.loads(answer.body)["items"]] == shown


def _running(world: World, pod: Object) -> Object:
    """As the kubelet lists it."""
    key = key_of(pod)
    pod["metadata"]["uid"] = world.kubelet.pods[key.namespace, key.name]
    return pod


async def test_a_pod_of_a_tenant_whose_key_begins_with_ours_is_not_ours(world: World) -> None:
    """Its super namespace is also what one of our own namespaces would be called."""
    other = TenantUnderTest(f"{world.team_a.key}-22222222")
    world.run_pod(other.super_pod("theirs"))
    world.run_pod(world.team_a.super_pod("ours"))
    assert api.super_namespace(world.team_a.key, "22222222-default") == other.super_namespace()

    async def asked(path: str) -> int:
        path = f"/containerLogs/{path}/web"
        return (await world.ask(world.team_a.client(), "GET", path)).status

    async def known() -> bool:
        return await asked("default/ours") == 200

    await eventually_so(known, "what came later is known")
    before = len(world.kubelet.requests)
    assert await asked("22222222-default/theirs") == 404
    assert len(world.kubelet.requests) == before


async def test_who_keeps_a_connection_is_asked_anew_for_each_request(world: World) -> None:
    """The tenant has gone meanwhile."""
    late = TenantUnderTest("team-c-33333333")
    world.publish(late)
    world.run_pod(late.super_pod())
    await eventually_so(lambda: _status(world, late, 200), "the new tenant is known")
    async with world.kept(late.client()) as kept:
        assert (await kept.ask("GET", LOGS)).status == 200
        world.super.delete(CONFIG_MAPS, key_of(late.published()))
        await eventually_so(lambda: _status(world, late, 401), "the tenant is forgotten")
        before = len(world.kubelet.requests)
        with capture_logs() as logs:
            assert (await kept.ask("GET", f"{LOGS}?x={SECRET}")).status == 401
        assert_refused_once(logs, 401)
        assert len(world.kubelet.requests) == before


async def test_a_certificate_that_expires_on_a_kept_connection_ends_it(world: World) -> None:
    brief = Validity.lasting(timedelta(seconds=5), datetime.now(UTC))
    async with world.kept(world.team_a.client(validity=brief)) as kept:
        assert (await kept.ask("GET", LOGS)).status == 200

        async def refused() -> bool:
            return (await kept.ask("GET", LOGS)).status == 401

        await eventually_so(refused, "the certificate has expired")


async def test_a_request_in_the_middle_of_an_answer_ends_the_connection(world: World) -> None:
    async with world.kept(world.team_a.client()) as kept:
        kept.writer.write(request(f"GET {LOGS}?follow=true HTTP/1.1"))
        await kept.reader.readuntil(b"\r\n\r\n")
        with capture_logs() as logs:
            kept.writer.write(NEXT.encode())
            await eventually(lambda: not world.kubelet.busy, "the log is given up")
            await kept.reader.read(-1)
        assert len(world.kubelet.requests) == 1
        [line] = logs
        assert line["reason"] == "the client sent more than its request"


async def test_a_tenant_that_opens_too_much_slows_only_itself(tmp_path: Path) -> None:
    async with running_world(tmp_path, tenant_connections=3) as world:
        world.kubelet.silent = True
        held = []
        for _ in range(3):
            _, writer = await world.connect(world.team_a.client())
            writer.write(request(f"GET {LOGS}?follow=true HTTP/1.1"))
            held.append(writer)
        await eventually(lambda: world.kubelet.busy == 3, "all are served")
        assert (await world.ask(world.team_a.client(), "GET", LOGS)).status == 429
        world.kubelet.silent = False
        assert (await world.ask(world.team_b.client(), "GET", LOGS)).status == 200
        for writer in held:
            writer.close()


async def test_old_versions_of_tls_are_not_spoken(world: World) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        await world.open(context)


async def test_a_session_cannot_be_resumed(world: World) -> None:
    """A certificate that has expired since, or whose tenant is gone, must be shown again."""
    context = world.context(world.team_a.client())

    def connect(session: ssl.SSLSession | None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", world.port))
        tls = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
        tls.sendall(request(f"GET {LOGS} HTTP/1.1", "Connection: close"))
        while tls.recv(65536):
            pass
        return tls

    with (
        await asyncio.to_thread(connect, None) as first,
        await asyncio.to_thread(connect, first.session) as second,
    ):
        assert not second.session_reused

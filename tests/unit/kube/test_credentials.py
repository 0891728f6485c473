"""Where to connect and as whom: read from files, and again when they change."""

import base64
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube.client import Client
from kube.connection import (
    CredentialSource,
    InvalidKubeconfig,
    KubeconfigFile,
    ServiceAccountFiles,
    load_kubeconfig,
    super_credentials,
)
from kube.errors import Unauthorized, Unreachable
from kube.objects import ObjectKey
from kube.resources import CONFIG_MAPS
from kube.transport import AiohttpTransport
from tests.builders import a_config_map
from tests.fakes.apiserver import FakeApiServer
from tests.unit.kube.certificates import Authority

SETTINGS = ObjectKey("default", "settings")
KEY = "-----BEGIN PRIVATE KEY-----\nnever to be seen\n-----END PRIVATE KEY-----"


def kubeconfig(server: str, user: dict[str, Any], **cluster: Any) -> bytes:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [
            {"name": "other", "context": {"cluster": "none", "user": "none"}},
            {"name": "it", "context": {"cluster": "a-cluster", "user": "a-user"}},
        ],
        "clusters": [{"name": "a-cluster", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "a-user", "user": user}],
    }
    return yaml.safe_dump(document).encode()


def write(path: Path, data: bytes | str) -> None:
    """Replace a file as the kubelet and our programs do, in one step."""
    new = path.with_suffix(".new")
    new.write_bytes(data if isinstance(data, bytes) else data.encode())
    new.rename(path)


def inline(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
async def guarded() -> AsyncIterator[FakeApiServer]:
    """A fake that wants a token."""
    server = FakeApiServer(tokens=["first"])
    server.create(CONFIG_MAPS, a_config_map())
    await server.start()
    yield server
    await server.stop()


Connect = Callable[[CredentialSource], Client]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients, and closes them."""
    clients: list[Client] = []

    def connected(source: CredentialSource) -> Client:
        clients.append(Client(AiohttpTransport(source)))
        return clients[-1]

    yield connected
    for client in clients:
        await client.close()


async def test_a_kubeconfig_that_changes_is_read_again(
    guarded: FakeApiServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    write(path, kubeconfig(guarded.url, {"token": "first"}))
    client = connect(KubeconfigFile(path))
    await client.get(CONFIG_MAPS, SETTINGS)
    guarded.tokens = {"second"}
    with pytest.raises(Unauthorized):
        await client.get(CONFIG_MAPS, SETTINGS)
    write(path, kubeconfig(guarded.url, {"token": "second"}))
    await client.get(CONFIG_MAPS, SETTINGS)


async def test_a_token_file_that_a_kubeconfig_names_is_read_again(
    guarded: FakeApiServer, connect: Connect, tmp_path: Path
) -> None:
    write(tmp_path / "token", "first\n")
    write(tmp_path / "kubeconfig", kubeconfig(guarded.url, {"tokenFile": "token"}))
    client = connect(KubeconfigFile(tmp_path / "kubeconfig"))
    await client.get(CONFIG_MAPS, SETTINGS)
    guarded.tokens = {"second"}
    write(tmp_path / "token", "second\n")
    await client.get(CONFIG_MAPS, SETTINGS)


async def test_a_service_account_token_is_read_again(
    guarded: FakeApiServer, tmp_path: Path
) -> None:
    write(tmp_path / "ca.crt", "a CA")
    write(tmp_path / "token", "first")
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    source = ServiceAccountFiles(environment, tmp_path)
    first = source.current()
    assert (first.server, first.token) == ("https://10.0.0.1:443", "first")
    assert source.current() is first
    write(tmp_path / "token", "second")
    assert source.current().token == "second"


async def test_client_certificates_are_used_and_read_again(
    connect: Connect, tmp_path: Path
) -> None:
    authority = Authority()
    server = FakeApiServer(tls=authority.server_context(tmp_path))
    server.create(CONFIG_MAPS, a_config_map())
    await server.start()
    for file, data in zip(("tls.crt", "tls.key"), authority.issue("first"), strict=True):
        write(tmp_path / file, data)
    user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    ca = inline(authority.pem)
    write(
        tmp_path / "kubeconfig", kubeconfig(server.url, user, **{"certificate-authority-data": ca})
    )
    client = connect(KubeconfigFile(tmp_path / "kubeconfig"))
    await client.get(CONFIG_MAPS, SETTINGS)
    for file, data in zip(("tls.crt", "tls.key"), authority.issue("second"), strict=True):
        write(tmp_path / file, data)
    await client.get(CONFIG_MAPS, SETTINGS)
    await client.close()
    await server.stop()
    assert [call.user for call in server.script.calls("GET")] == ["first", "second"]


async def test_a_server_of_another_authority_is_not_trusted(
    connect: Connect, tmp_path: Path
) -> None:
    server = FakeApiServer(tls=Authority().server_context(tmp_path))
    await server.start()
    ca = {"certificate-authority-data": inline(Authority().pem)}
    write(tmp_path / "kubeconfig", kubeconfig(server.url, {"token": "a-secret-token"}, **ca))
    client = connect(KubeconfigFile(tmp_path / "kubeconfig"))
    with pytest.raises(Unreachable) as caught:
        await client.get(CONFIG_MAPS, SETTINGS)
    await server.stop()
    assert "a-secret-token" not in str(caught.value)
    assert server.script.log == []


async def test_a_kubeconfig_that_is_broken_or_gone_for_a_moment_changes_nothing(
    guarded: FakeApiServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    good = kubeconfig(guarded.url, {"token": "first"})
    write(path, good)
    client = connect(KubeconfigFile(path))
    await client.get(CONFIG_MAPS, SETTINGS)
    write(path, b"half of a ki")
    await client.get(CONFIG_MAPS, SETTINGS)
    path.unlink()
    await client.get(CONFIG_MAPS, SETTINGS)
    guarded.tokens = {"second"}
    write(path, good.replace(b"first", b"second"))
    await client.get(CONFIG_MAPS, SETTINGS)


async def test_a_kubeconfig_is_not_read_while_it_does_not_change(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write(path, kubeconfig("http://127.0.0.1:1", {"token": "first"}))
    source = KubeconfigFile(path)
    assert source.current() is source.current()


async def test_a_change_drops_no_request_that_is_under_way(
    guarded: FakeApiServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    write(path, kubeconfig(guarded.url, {"token": "first"}))
    client = connect(KubeconfigFile(path))
    events = client.watch(CONFIG_MAPS, "0")
    await anext(events)
    guarded.tokens.add("second")
    write(path, kubeconfig(guarded.url, {"token": "second"}))
    await client.get(CONFIG_MAPS, SETTINGS)
    guarded.patch(CONFIG_MAPS, SETTINGS, {"data": {"a": "b"}})
    assert [event.type for event in await anext(events)] == ["MODIFIED"]
    await events.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "mapping"),
        (b"{", "YAML"),
        (b"[]", "mapping"),
        (b"current-context: it", "contexts"),
        (kubeconfig("x", {"exec": {"command": "aws"}}), "users[].user.exec"),
        (kubeconfig("x", {"client-key-data": "%%%"}), "client-key-data"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_refused_by_naming_the_field(
    data: bytes, field: str
) -> None:
    with pytest.raises(InvalidKubeconfig) as caught:
        load_kubeconfig(data)
    assert field in str(caught.value)


def test_credentials_do_not_show_their_secrets() -> None:
    user = {"token": "a-secret-token", "client-key-data": inline(KEY.encode())}
    credentials = load_kubeconfig(kubeconfig("https://127.0.0.1:6443", user))
    for text in (repr(credentials), str(credentials), f"{credentials}"):
        assert "a-secret-token" not in text
        assert "never to be seen" not in text


async def test_a_key_that_cannot_be_used_does_not_show_up_in_the_error(
    connect: Connect, tmp_path: Path
) -> None:
    authority = Authority()
    certificate, _ = authority.issue("client")
    user = {
        "client-certificate-data": inline(certificate),
        "client-key-data": inline(KEY.encode()),
    }
    ca = {"certificate-authority-data": inline(authority.pem)}
    write(tmp_path / "kubeconfig", kubeconfig("https://127.0.0.1:1", user, **ca))
    client = connect(KubeconfigFile(tmp_path / "kubeconfig"))
    with pytest.raises((Unreachable, InvalidKubeconfig)) as caught:
        await client.get(CONFIG_MAPS, SETTINGS)
    assert "never to be seen" not in str(caught.value)


async def test_no_file_with_a_key_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    authority = Authority()
    certificate, key = authority.issue("client")
    user = {
        "client-certificate-data": inline(certificate),
        "client-key-data": inline(key),
    }
    ca = {"certificate-authority-data": inline(authority.pem)}
    load_kubeconfig(kubeconfig("https://127.0.0.1:1", user, **ca)).ssl_context()
    assert os.listdir(tmp_path) == []


def test_the_super_cluster_is_the_kubeconfig_given_or_the_one_we_run_in(tmp_path: Path) -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert isinstance(super_credentials(str(tmp_path / "kubeconfig"), pod), KubeconfigFile)
    assert isinstance(super_credentials("", pod), ServiceAccountFiles)
    with pytest.raises(InvalidKubeconfig, match="no kubeconfig"):
        super_credentials("", {})


@pytest.mark.parametrize("name", ["kubernetes", ""])
def test_the_name_of_the_servers_certificate_may_differ_from_its_address(name: str) -> None:
    cluster = {"tls-server-name": name} if name else {}
    data = kubeconfig("https://10.0.0.1:6443", {"token": "t"}, **cluster)
    assert load_kubeconfig(data).name == name

"""The commands against a fake super cluster: what they send, print and return."""

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

from kube.objects import ObjectKey
from kube.resources import NAMESPACES, PODS, SECRETS
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually_so
from tests.unit.cli.builders import KEY, condition, pod, ready_tenant, tenant
from tests.unit.cli.conftest import Run, kubeconfig_text
from vcluster.cli.main import COMPLETE_VARIABLE, program
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

TENANT_KUBECONFIG = kubeconfig_text("https://127.0.0.1:61000", "team-a")
TEAM_A = ObjectKey("tenants", "team-a")


@pytest.fixture
def team_a(apiserver: FakeApiServer) -> None:
    """A tenant that is ready, with a pod."""
    for name in (KEY, f"{KEY}-default"):
        make_namespace(apiserver, name)
    make_namespace(apiserver, "tenants")
    apiserver.create(VIRTUAL_CLUSTERS, ready_tenant())
    set_status(apiserver, ready_tenant()["status"])
    data = base64.b64encode(TENANT_KUBECONFIG.encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "admin-kubeconfig", "namespace": KEY},
        "data": {"kubeconfig": data},
    }
    apiserver.create(SECRETS, secret)
    apiserver.create(PODS, pod("web", gpus=2))


def make_namespace(apiserver: FakeApiServer, name: str) -> None:
    """A namespace of the super cluster."""
    apiserver.create(NAMESPACES, {"metadata": {"name": name}})


async def until(what: str, condition: Callable[[], object]) -> None:
    """Wait until it holds; AssertionError that names it."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.02)  # between two looks
    pytest.fail(f"waited a minute in vain until {what}")


def looks(apiserver: FakeApiServer) -> int:
    """How often the tenant was read."""
    return sum((call.verb, call.name) == ("GET", "team-a") for call in apiserver.script.log)


def set_status(apiserver: FakeApiServer, status: dict[str, object]) -> None:
    """Do what the operator does."""
    apiserver.patch(VIRTUAL_CLUSTERS, TEAM_A, {"status": status}, "status")


@pytest.mark.usefixtures("team_a")
async def test_list_and_describe_print_what_is_there(vc: Run) -> None:
    listed = await vc("list")
    assert listed.exit_code == 0
    assert listed.stdout.split()[:3] == ["NAME", "PHASE", "READY"]
    assert "team-a   Ready   True    v1.37.2" in listed.stdout
    assert json.loads((await vc("list", "-A", "-o", "json")).stdout)["kind"] == "List"
    described = (await vc("describe", "team-a")).stdout
    for expected in (KEY, "https://127.0.0.1:61000", "default", "web", "className: standard"):
        assert expected in described


async def test_an_empty_list_is_no_error(vc: Run) -> None:
    result = await vc("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "vc create" in result.stderr


@pytest.mark.parametrize("command", ["describe", "delete", "kubeconfig", "connect"])
@pytest.mark.usefixtures("team_a")
async def test_a_tenant_that_is_not_there_is_said_with_a_near_one(vc: Run, command: str) -> None:
    result = await vc(command, "taem-a")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: there is no tenant 'taem-a' in the namespace 'tenants'",
        "Hint:  did you mean 'team-a'?",
    ]
    result = await vc(command, "team-a", "-n", "other")
    assert "-n tenants" in result.stderr


async def test_create_makes_the_namespace_and_waits(vc: Run, apiserver: FakeApiServer) -> None:
    async def operate() -> None:
        await until("it is created", lambda: apiserver.get(VIRTUAL_CLUSTERS, TEAM_A))
        starting = condition("ControlPlaneReady", "False", "Starting", "not yet")
        set_status(apiserver, {"phase": "Provisioning", "conditions": [starting]})
        seen = looks(apiserver)
        await until("vc has seen it", lambda: looks(apiserver) >= seen + 2)
        syncing = condition("Syncing", "False", "Starting", "reading")
        ready = ready_tenant()["status"]
        set_status(apiserver, ready | {"conditions": [ready["conditions"][0], syncing]})
        seen = looks(apiserver)
        await until("vc goes on looking", lambda: looks(apiserver) >= seen + 2)
        set_status(apiserver, ready)

    result, _ = await asyncio.gather(vc("create", "team-a", "--class", "gold"), operate())
    assert result.exit_code == 0, result.output
    assert "tenant 'team-a' is ready" in result.stdout
    told = [line.split("s  ")[1] for line in result.stderr.splitlines() if " s  " in line]
    assert told == [
        "Phase: Provisioning",
        "ControlPlaneReady: Starting: not yet",
        "Phase: Ready",
        "Syncing: Starting: reading",
        "Syncing: done",
    ]
    assert apiserver.live(VIRTUAL_CLUSTERS, TEAM_A)["spec"] == {"className": "gold"}
    assert apiserver.get(NAMESPACES, ObjectKey("", "tenants")) is not None
    created = next(call for call in apiserver.script.log if call.plural == "virtualclusters")
    assert created.query["fieldValidation"] == "Strict"


async def test_create_fails_with_the_reason(vc: Run, apiserver: FakeApiServer) -> None:
    async def operate() -> None:
        await until("it is created", lambda: apiserver.get(VIRTUAL_CLUSTERS, TEAM_A))
        wrong = condition("SpecValid", "False", "ClassNotFound", "spec.className: there is no 'x'")
        set_status(apiserver, {"phase": "Failed", "observedGeneration": 1, "conditions": [wrong]})

    result, _ = await asyncio.gather(vc("create", "team-a"), operate())
    assert result.exit_code == 1
    assert "cannot become ready: spec.className: there is no 'x'" in result.stderr


async def test_create_gives_up_and_names_what_it_waited_for(vc: Run) -> None:
    result = await vc("create", "team-a", "--timeout", "100ms")
    assert result.exit_code == 1
    assert "not ready after 0.1 s: no operator has looked at it" in result.stderr


@pytest.mark.usefixtures("team_a")
async def test_create_again_is_fine_only_with_the_same_spec(vc: Run) -> None:
    again = await vc("create", "team-a", "--class", "standard")
    assert again.exit_code == 0
    other = await vc("create", "team-a", "--class", "gold")
    assert other.exit_code == 1
    assert "exists already, with another spec.className" in other.stderr


async def test_a_wrong_field_is_named(vc: Run, apiserver: FakeApiServer) -> None:
    message = (
        'VirtualCluster in version "v1alpha1" cannot be handled as a VirtualCluster: '
        'strict decoding error: unknown field "spec.nodes.mod"'
    )
    make_namespace(apiserver, "tenants")
    apiserver.script.add("POST", "virtualclusters", Answer(400, "BadRequest", message))
    result = await vc("create", "team-a", "-f", "-", stdin="nodes: {mod: x}")
    assert result.exit_code == 1
    first = 'Error: wrong spec in standard input: unknown field "spec.nodes.mod"'
    assert result.stderr.splitlines()[0] == first


@pytest.mark.usefixtures("team_a")
async def test_delete_waits_until_it_is_gone(vc: Run, apiserver: FakeApiServer) -> None:
    result = await vc("delete", "team-a")
    assert result.exit_code == 0
    assert "1 pod" in result.stderr
    assert "is deleted" in result.stdout
    assert apiserver.get(VIRTUAL_CLUSTERS, TEAM_A) is None
    sent = next(call for call in apiserver.script.log if call.verb == "DELETE")
    assert sent.json["preconditions"]["uid"]
    assert (await vc("delete", "team-a", "--ignore-not-found")).exit_code == 0


@pytest.mark.usefixtures("team_a")
async def test_the_kubeconfig_is_printed_saved_and_merged(vc: Run, home: Path) -> None:
    assert (await vc("kubeconfig", "team-a")).stdout == TENANT_KUBECONFIG
    saved = home / "saved"
    assert (await vc("kubeconfig", "team-a", "-o", str(saved))).exit_code == 0
    assert saved.read_text() == TENANT_KUBECONFIG
    assert saved.stat().st_mode & 0o777 == 0o600
    own = home / ".kube/config"
    own.parent.mkdir()
    own.write_text(kubeconfig_text("https://prod", "prod"))
    result = await vc("kubeconfig", "team-a", "--merge")
    assert str(own) in result.stderr
    merged = yaml.safe_load(own.read_text())
    assert merged["current-context"] == "prod"
    assert [item["name"] for item in merged["contexts"]] == ["prod", "team-a.tenants"]
    assert own.stat().st_mode & 0o777 == 0o600


async def test_a_tenant_without_a_kubeconfig_says_how_it_stands(
    vc: Run, apiserver: FakeApiServer
) -> None:
    make_namespace(apiserver, "tenants")
    apiserver.create(VIRTUAL_CLUSTERS, tenant())
    set_status(apiserver, {"phase": "Provisioning", "tenantKey": KEY})
    result = await vc("kubeconfig", "team-a")
    assert result.exit_code == 1
    assert "no kubeconfig yet: it is Provisioning" in result.stderr


@pytest.mark.usefixtures("team_a")
@pytest.mark.parametrize(
    ("command", "code", "printed"),
    [
        (("sh", "-c", 'cat "$KUBECONFIG"; exit 5'), 5, TENANT_KUBECONFIG),
        (("sh", "-c", 'printf %s "$VC_TENANT"'), 0, "team-a"),
        (("no-such-program",), 127, ""),
    ],
)
async def test_connect_passes_the_exit_code_through(
    super_kubeconfig: Path, command: tuple[str, ...], code: int, printed: str
) -> None:
    # A process of its own: signals can be handled only in the main thread.
    script = "from vcluster.cli import main; main()"
    words = ("connect", "--kubeconfig", str(super_kubeconfig), "team-a", "--", *command)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *words, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert (process.returncode, output.decode()) == (code, printed)


@pytest.mark.usefixtures("team_a")
async def test_top_counts_pods_and_gpus(vc: Run, home: Path) -> None:
    rows = json.loads((await vc("top", "-o", "json")).stdout)
    assert (rows[0]["name"], rows[0]["pods"], rows[0]["gpus_requested"]) == ("team-a", 1, 2)
    assert rows[0]["memory_mib"] is None
    assert "team-a" in (await vc("top")).stdout


@pytest.mark.usefixtures("team_a")
async def test_names_of_tenants_complete(apiserver: FakeApiServer, super_kubeconfig: Path) -> None:
    make_namespace(apiserver, "other")
    apiserver.create(VIRTUAL_CLUSTERS, ready_tenant("team-x", "other"))
    words = ["describe", "--kubeconfig", str(super_kubeconfig)]
    complete = ShellComplete(program, {}, "vc", COMPLETE_VARIABLE).get_completions

    async def offers(typed: list[str], begun: str, wanted: list[str]) -> bool:
        found = await asyncio.to_thread(complete, [*words, *typed], begun)
        return [item.value for item in found] == wanted

    for typed, begun, wanted in (
        ([], "te", ["team-a"]),
        (["-n", "other"], "", ["team-x"]),
        (["-n"], "", ["other", "tenants"]),
    ):
        # It waits for half a second only, which a busy machine may need for the answer.
        await eventually_so(partial(offers, typed, begun, wanted), f"{wanted} are offered")


async def test_completion_is_silent_and_quick_when_nobody_answers(
    apiserver: FakeApiServer, super_kubeconfig: Path
) -> None:
    apiserver.freeze()
    complete = ShellComplete(program, {}, "vc", COMPLETE_VARIABLE).get_completions
    words = ["describe", "--kubeconfig", str(super_kubeconfig)]
    async with asyncio.timeout(60):  # left alone it would wait for ever
        assert await asyncio.to_thread(complete, words, "") == []
    apiserver.thaw()

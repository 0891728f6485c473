"""Requests that no API server sends: paths that lead elsewhere, messages that could mean two things."""

import pytest
from structlog.testing import capture_logs

from tests.unit.node_agent.test_security import LOGS, NEXT, SECRET, assert_refused_once, request
from tests.unit.node_agent.world import UPGRADE, World
from vcluster import hosts_file


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/containerLogs/../../pods", 400),
        ("/containerLogs/default/../web/web", 400),
        ("/containerLogs/default%2Fweb/web/web", 400),
        ("/containerLogs/default/%2e%2e/web", 400),
        ("/containerLogs/default/web%00/web", 400),
        ("/containerLogs//web/web", 400),
        ("/containerLogs/default/web/web/", 400),
        ("/containerLogs/default/web/web/web", 400),
        ("/containerLogs/default/default/web/web", 400),
        ("/containerLogs/default/web/web;x=y", 400),
        ("/containerLogs/DEFAULT/web/web", 400),
        ("/containerLogs/default\\web/web/web", 400),
        ("/./containerLogs/default/web/web", 403),
        ("/containerLogs/team-b-2222-default/web/web", 404),
        ("/containerLogs/team-a-11111111-default/web/web", 404),
        ("/containerLogs/kube-system/web/web", 404),
        (f"/containerLogs/default/web/{hosts_file.NAME}", 404),
        (f"/run/default/web/{hosts_file.NAME}", 404),
        ("/run/team-b-2222-default/web/web", 404),
        ("/exec/default/web/other-uid/web", 405),
        ("/logs/", 403),
        ("/logs/../pods", 403),
        ("/logs/syslog", 403),
        ("/configz", 403),
        ("/debug/pprof/heap", 403),
        ("/checkpoint/default/web/web", 403),
        ("/healthz", 403),
        ("/metrics", 403),
        ("/stats", 403),
        ("/stats/summary/x", 403),
        ("/pods/default/web", 403),
        ("/podsx", 403),
        ("/cri/exec/abc", 403),
        ("/", 403),
        ("/pods//", 403),
        ("//pods", 403),
        ("/%70ods", 403),
        ("/exec/default/web/web%2F..", 400),
        ("/portForward/default/web/%2e%2e", 400),
        (f"/containerLogs/default/{'w' * 2000}/web", 400),
        (f"/containerLogs/default/{'w.' * 600}w/web", 400),
    ],
)
async def test_paths_that_are_not_a_tenants_are_refused(
    world: World, path: str, status: int
) -> None:
    """Another tenant's or the own super namespace, escapes, double names, all that is not served."""
    method = {"run": "POST", "exec": "PUT"}.get(path.split("/")[1], "GET")
    with capture_logs() as logs:
        answer = await world.ask(world.team_a.client(), method, f"{path}?secret={SECRET}")
    assert answer.status == status, answer.text
    assert not world.kubelet.requests
    assert_refused_once(logs, status)


EXEC = "POST /exec/default/web/web?command=ls HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(f"GET {LOGS} HTTP/1.1", "Host: x", behind=NEXT), 400),
        (request(EXEC, "Connection: Upgrade", "Upgrade: SPDY/3.1", behind=NEXT), 400),
        (request(f"GET {LOGS} HTTP/1.1", "Content-Length: 40"), 413),
        (request(f"GET {LOGS} HTTP/1.1", CHUNKED, behind="3\r\nabc\r\n0\r\n\r\n"), 413),
        (request(f"GET {LOGS} HTTP/1.1", CHUNKED, behind=f"0\r\n\r\n{NEXT}"), 400),
        (request(f"GET {LOGS} HTTP/1.1", "Transfer-Encoding: gzip", behind="0\r\n\r\n"), 413),
        (request(f"GET {LOGS} HTTP/1.1", CHUNKED, CHUNKED, behind="0\r\n\r\n"), 400),
        (request(f"GET {LOGS} HTTP/1.1", CHUNKED, "Content-Length: 9", behind="0\r\n\r\n"), 413),
        (request(f"GET {LOGS} HTTP/1.1", "Content-Length: 0", "Content-Length: 40"), 400),
        (request(f"GET {LOGS} HTTP/1.1", "Host: x", "Host: y"), 400),
        (request(f"GET {LOGS} HTTP/1.1", " folded: x"), 400),
        (request(f"GET {LOGS} HTTP/1.1", "Bad Name: x"), 400),
        (request(f"GET {LOGS} HTTP/1.1", "X: a\nGET /pods HTTP/1.1"), 400),
        (request(f"GET {LOGS} HTTP/1.1", "X: a\x00b"), 400),
        (request(f"GET {LOGS} HTTP/1.0"), 400),
        (request(f"GET {LOGS} HTTP/2.0"), 400),
        (request(f"GET {LOGS} extra HTTP/1.1"), 400),
        (request("GET https://127.0.0.1:10250/pods HTTP/1.1"), 400),
        (request("CONNECT 127.0.0.1:10250 HTTP/1.1"), 400),
        (request(f"GET {LOGS}#x HTTP/1.1"), 400),
        (request(f"GET {LOGS}?a=\x7f HTTP/1.1"), 400),
        (request(f"DELETE {LOGS} HTTP/1.1"), 405),
        (request(f"GET {LOGS} HTTP/1.1", "Connection: Upgrade", "Upgrade: SPDY/3.1"), 400),
        (request(EXEC, "Upgrade: SPDY/3.1"), 400),
        (request(EXEC, "Connection: Upgrade", "Upgrade: h2c"), 400),
        (request(EXEC, "Connection: Upgrade", "Upgrade: websocket", "Upgrade: SPDY/3.1"), 400),
        (request(EXEC, "Connection: close"), 400),
        (request(f"GET {LOGS} HTTP/1.1", f"X: {'y' * 300_000}"), 431),
    ],
)
async def test_requests_that_could_mean_two_things_are_refused(
    world: World, data: bytes, status: int
) -> None:
    with capture_logs() as logs:
        answer = await world.send(world.team_a.client(), data)
    assert answer.status == status, answer.text
    assert not world.kubelet.requests
    assert_refused_once(logs, status)


async def test_what_follows_a_failed_upgrade_never_reaches_the_kubelet(world: World) -> None:
    """Else it would be a request of ours, with our rights (as in CVE-2018-1002105)."""
    reader, writer = await world.connect(world.team_a.client())
    lines = ["POST /exec/default/web/gone HTTP/1.1", *(f"{k}: {v}" for k, v in UPGRADE.items())]
    writer.write(request(*lines))
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    writer.write(NEXT.encode())
    rest = await reader.read(-1)
    writer.close()
    assert rest == b"container not found in default"
    assert len(world.kubelet.requests) == 1

"""Which part of the kubelet API a request asks for. Pure.

A path is served only if all of it is one of the patterns here, as it came: nothing is decoded, so no
escape, dot or second slash can mean one thing here and another one to the kubelet.

The kubelet's own routes: k8s.io/kubernetes 1.37, pkg/kubelet/server/server.go.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from node_agent.http1 import Refused, Request

LONGEST_PATH = 1024

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_UID = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,62}[0-9A-Za-z])?"
_POD = rf"(?P<namespace>{_LABEL})/(?P<pod>{_NAME})"
_CONTAINER = rf"(?:(?P<uid>{_UID})/)?(?P<container>{_LABEL})"


class Verb(StrEnum):
    """What is done with one pod; named as the kubelet's path is."""

    LOGS = "containerLogs"
    EXEC = "exec"
    ATTACH = "attach"
    RUN = "run"
    PORT_FORWARD = "portForward"


class Report(StrEnum):
    """What is told of all pods; the kubelet's path."""

    PODS = "/pods"
    RUNNING_PODS = "/runningpods/"
    SUMMARY = "/stats/summary"
    RESOURCE_METRICS = "/metrics/resource"
    CONTAINER_METRICS = "/metrics/cadvisor"
    PROBE_METRICS = "/metrics/probes"


@dataclass(frozen=True, slots=True)
class PodRequest:
    """Something is to be done with one pod, in the tenant's words."""

    verb: Verb
    namespace: str
    pod: str
    uid: str
    """Of the tenant's pod; empty: any."""
    container: str

    @property
    def upgrades(self) -> bool:
        """Whether both sides go on with a protocol of streams."""
        return self.verb not in (Verb.LOGS, Verb.RUN)


_PATTERNS = {
    Verb.LOGS: rf"/containerLogs/{_POD}/(?P<uid>)(?P<container>{_LABEL})",
    Verb.EXEC: rf"/exec/{_POD}/{_CONTAINER}",
    Verb.ATTACH: rf"/attach/{_POD}/{_CONTAINER}",
    Verb.RUN: rf"/run/{_POD}/{_CONTAINER}",
    Verb.PORT_FORWARD: rf"/portForward/{_POD}(?:/(?P<uid>{_UID}))?(?P<container>)",
}
_PATHS = {verb: re.compile(pattern) for verb, pattern in _PATTERNS.items()}
METHODS = {Verb.LOGS: ("GET",), Verb.RUN: ("POST",)}
_REPORTS = {report.value.rstrip("/"): report for report in Report}


def route(request: Request) -> PodRequest | Report:
    """Raises Refused for all that is not served to tenants."""
    path = request.path
    if len(path) > LONGEST_PATH:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the path is longer than {LONGEST_PATH} characters")
    if report := _REPORTS.get(path.removesuffix("/")):
        _allow(request, ("GET",))
        return report
    root = path.split("/")[1]
    if root not in set(Verb):
        raise Refused(HTTPStatus.FORBIDDEN, f"/{root} of the kubelet is not open to tenants")
    verb = Verb(root)
    found = _PATHS[verb].fullmatch(path)
    if found is None:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"/{verb} needs the names of a namespace and a pod"
            + ("" if verb is Verb.PORT_FORWARD else " and a container"),
        )
    _allow(request, METHODS.get(verb, ("GET", "POST")))
    wanted = PodRequest(
        verb, found["namespace"], found["pod"], found["uid"] or "", found["container"]
    )
    _check_upgrade(request, wanted)
    return wanted


def _allow(request: Request, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise Refused(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"the method is {request.method[:16]}, but must be {' or '.join(methods)}",
        )


def _check_upgrade(request: Request, wanted: PodRequest) -> None:
    if not wanted.upgrades:
        if request.upgrade:
            raise Refused(HTTPStatus.BAD_REQUEST, f"/{wanted.verb} goes on with no other protocol")
        return
    if request.upgrade not in ("websocket", "spdy/3.1"):
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"/{wanted.verb} needs an upgrade to WebSocket or SPDY/3.1"
        )

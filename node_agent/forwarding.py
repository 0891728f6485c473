"""What a request about one pod becomes for the kubelet, and what its errors become for the tenant. Pure."""

from http import HTTPStatus

from node_agent.http1 import Refused, Request, request_head
from node_agent.pods import SuperPod
from node_agent.routes import PodRequest, Verb
from vcluster import hosts_file

PASSED_ON = frozenset(
    {
        "user-agent",
        "x-stream-protocol-version",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)
"""Of the client's headers only these reach the kubelet: none that names a user, or a body's length."""


def checked(pod: SuperPod | None, wanted: PodRequest) -> SuperPod:
    """The super pod if it is the mirror of just the pod that is meant. Raises Refused.

    Of the init container that is ours the tenant knows nothing.
    """
    if pod is None:
        raise Refused(
            HTTPStatus.NOT_FOUND,
            f"pod {wanted.pod!r} in namespace {wanted.namespace!r} is not on this node",
        )
    if wanted.uid and wanted.uid != pod.source_uid:
        raise Refused(
            HTTPStatus.NOT_FOUND,
            f"pod {wanted.pod!r} in namespace {wanted.namespace!r} is another one by now: "
            f"its UID is {pod.source_uid}",
        )
    if wanted.container == hosts_file.NAME:
        # In the kubelet's own words.
        raise Refused(
            HTTPStatus.NOT_FOUND,
            f'container "{wanted.container}" not found in pod "{wanted.pod}_{wanted.namespace}"',
        )
    return pod


def kubelet_request(
    request: Request,
    wanted: PodRequest,
    pod: SuperPod,
    host: str,
    authorization: list[tuple[str, str]],
) -> bytes:
    """The head for the kubelet. It names the super pod's UID wherever the kubelet takes one: should
    the pod be replaced in this moment, the kubelet finds none."""
    segments = [wanted.verb.value, pod.key.namespace, pod.key.name]
    if wanted.verb is not Verb.LOGS:
        segments.append(pod.uid)
    if wanted.container:
        segments.append(wanted.container)
    target = "/" + "/".join(segments) + (f"?{request.query}" if request.query else "")
    passed_on = [(name, value) for name, value in request.headers if name in PASSED_ON]
    upgrade = request.upgrade if wanted.upgrades else ""
    headers = [
        ("Host", host),
        ("Connection", "Upgrade" if upgrade else "close"),
        *([("Upgrade", "SPDY/3.1" if upgrade == "spdy/3.1" else upgrade)] if upgrade else []),
        *([("Content-Length", "0")] if request.method == "POST" else []),
        *passed_on,
        *authorization,
    ]
    return request_head(request.method, target, "HTTP/1.1", headers)


def in_tenant_words(text: bytes, pod: SuperPod) -> bytes:
    """A message of the kubelet with the tenant's names in place of the super cluster's."""
    for super_word, word in (
        (pod.key.namespace, pod.source.namespace),
        (pod.uid, pod.source_uid),
    ):
        text = text.replace(super_word.encode(), word.encode())
    return text

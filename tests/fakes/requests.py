"""What a request says."""

import json
from collections.abc import Iterable
from typing import Any

import yaml
from aiohttp import web

from tests.fakes.faults import Call
from tests.fakes.status import bad_request
from tests.fakes.targets import Target
from tests.fakes.verbs import APPLY


async def read_call(request: web.BaseRequest, target: Target | None) -> Call:
    """The request as it is logged."""
    query = dict(request.query)
    verb = request.method
    if target is not None and not target.name:
        verb = {"GET": "LIST", "DELETE": "DELETECOLLECTION"}.get(verb, verb)
    if query.get("watch") in ("1", "true"):
        verb = "WATCH"
    target = target or Target("", "", "")
    return Call(
        verb=verb,
        path=request.rel_url.raw_path,
        plural=target.plural,
        namespace=target.namespace,
        name=target.name,
        subresource=target.subresource,
        query=query,
        content_type=request.headers.get("Content-Type", "").partition(";")[0],
        accept=request.headers.get("Accept", ""),
        user=_user(request),
        body=await request.read(),
    )


def _user(request: web.BaseRequest) -> str:
    if authorization := request.headers.get("Authorization"):
        return authorization.removeprefix("Bearer ")
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    subject: Iterable[Any] = (certificate or {}).get("subject", ())
    names = [value for relative in subject for name, value in relative if name == "commonName"]
    return str(names[0]) if names else ""


def decoded_body(call: Call) -> Any:
    """The body as JSON or YAML. Raises 400."""
    try:
        if call.content_type in APPLY:
            return yaml.safe_load(call.body)
        return json.loads(call.body) if call.body else {}
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"error decoding the body: {error}") from error


def delete_options(call: Call, body: Any) -> dict[str, Any]:
    """The options of a deletion, from the body and the query."""
    options = dict(body)
    if seconds := call.query.get("gracePeriodSeconds"):
        options["gracePeriodSeconds"] = int(seconds)
    return options

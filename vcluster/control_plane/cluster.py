"""A blocking client for one API server, for the operator's few calls; objects stay plain data."""

import math
import ssl
import time
from typing import Any, Self
from urllib.parse import urlencode

import msgspec
import urllib3
from kubernetes import client, config

from kube.resources import Resource
from vcluster.api import Object

FIELD_MANAGER = "virtualcluster-operator"
REQUEST_SECONDS = 10.0

_APPLY = "application/apply-patch+yaml"
_JSON = "application/json"


class ApiError(Exception):
    """An API server refused: its status code, reason and message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or status}: {message}")
        self.status = status
        self.reason = reason


class Unreachable(Exception):
    """No answer came."""


class Cluster:
    """One API server, as one identity. Safe to use from several threads."""

    def __init__(self, configuration: Any, tls: ssl.SSLContext | None = None) -> None:
        configuration.connection_pool_maxsize = 8
        configuration.retries = False
        self._client = client.ApiClient(configuration)
        if tls is not None:
            # Else each connection reads the files anew, which costs more than its handshake.
            self._client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls
        self._deadline = math.inf

    @classmethod
    def from_kubeconfig(cls, path: str) -> Self:
        """As the kubeconfig at ``path`` says; empty: as the pod that we run in."""
        configuration = client.Configuration()
        if path:
            config.load_kube_config(path, client_configuration=configuration, persist_config=False)
        else:
            config.load_incluster_config(client_configuration=configuration)
        return cls(configuration)

    @classmethod
    def with_tls(cls, server: str, tls: ssl.SSLContext) -> Self:
        """The API server at the URL ``server``, as the context's client."""
        return cls(client.Configuration(host=server), tls)

    def give_up_after(self, seconds: float) -> None:
        """From now on; then each request raises Unreachable at once."""
        self._deadline = time.monotonic() + seconds

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """The object, or None if there is none."""
        try:
            return self._call("GET", resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, resource: Resource, namespace: str = "", selector: str = "") -> list[Object]:
        """All objects of a kind that the label selector matches."""
        query = {"labelSelector": selector} if selector else {}
        return list(self._call("GET", resource.path(namespace), query)["items"])

    def create(self, resource: Resource, obj: Object) -> Object:
        """Raises ApiError with status 409 if it exists."""
        namespace = obj["metadata"].get("namespace", "")
        return self._call("POST", resource.path(namespace), body=obj)

    def apply(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Server-side apply: the fields given become ours, those of others stay."""
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._call("PATCH", path, query, obj, _APPLY)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        uid: str = "",
        grace_seconds: int | None = None,
    ) -> None:
        """Ask for deletion; that it is gone, or is another one than ``uid``, is no error."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._call("DELETE", resource.path(namespace, name), body=options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def probe(self, path: str) -> tuple[bool, str]:
        """Whether a health check passes, and what it says if not."""
        try:
            status, data = self._request("GET", path, {}, None, _JSON, 2.0)
        except Unreachable as error:
            return False, str(error)
        return status == 200, _complaints(data.decode(errors="replace"))

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> Object:
        status, data = self._request(method, path, query or {}, body, content_type, REQUEST_SECONDS)
        if status >= 300:
            raise _error(status, data)
        return msgspec.json.decode(data, type=Object)

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Object | None,
        content_type: str,
        seconds: float,
    ) -> tuple[int, bytes]:
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Content-Type": content_type, "Accept": _JSON}
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(f"{self._client.configuration.host}: earlier requests took too long")
        url, headers = self._client.param_serialize(
            method, target, header_params=headers, auth_settings=["BearerToken"]
        )[1:3]
        try:
            response = self._client.call_api(
                method, url, headers, body=body, _request_timeout=min(seconds, left)
            )
            return response.status, response.read()
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise Unreachable(f"{self._client.configuration.host}: {_cause(error)}") from error


def _error(status: int, data: bytes) -> ApiError:
    try:
        answer = msgspec.json.decode(data, type=Object)
        return ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    except msgspec.DecodeError:
        return ApiError(status, "", data.decode(errors="replace").strip()[:300])


def _complaints(answer: str) -> str:
    """The names of the failed checks of a verbose health answer, or else its end."""
    failed = [line[3:].split(" ")[0] for line in answer.splitlines() if line.startswith("[-]")]
    if not failed:
        return answer.strip()[-200:]
    more = f" and {len(failed) - 3} more checks" if len(failed) > 3 else ""
    return f"waits for {', '.join(failed[:3])}{more}"


def _cause(error: BaseException) -> str:
    """The innermost reason, without the addresses of Python objects."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__

"""Errors as an API server words them: Status objects."""

from collections.abc import Mapping
from typing import Any

from kube.objects import Object

_WHOLE_SECONDS = "retryAfterSeconds"


class StatusError(Exception):
    """Ends a request with an error status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details[_WHOLE_SECONDS] = retry_after

    def to_object(self) -> Object:
        """The Status object of the answer."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            status["details"] = self.details
        return status | {"code": self.code}


def success(details: Mapping[str, Any]) -> Object:
    """What is answered to a deletion and to a binding."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": dict(details),
    }


def not_found(plural: str, name: str) -> StatusError:
    """404 for an object."""
    message = f'{plural} "{name}" not found'
    return StatusError(404, "NotFound", message, details={"name": name, "kind": plural})


def unknown_path() -> StatusError:
    """404 for a path that is not served."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, name: str) -> StatusError:
    """409 at a creation."""
    message = f'{plural} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details={"name": name, "kind": plural})


def conflict(plural: str, name: str, why: str) -> StatusError:
    """409 for a stale version or a failed precondition."""
    message = f'Operation cannot be fulfilled on {plural} "{name}": {why}'
    return StatusError(409, "Conflict", message, details={"name": name, "kind": plural})


def stale(plural: str, name: str) -> StatusError:
    """409: somebody else has written since."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(plural, name, why)


def wrong_uid(plural: str, name: str, wanted: str, found: str) -> StatusError:
    """409: the name now belongs to another object."""
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return conflict(plural, name, why)


def invalid(kind: str, name: str, field: str, why: str) -> StatusError:
    """422 for one field."""
    details = {
        "name": name,
        "kind": kind,
        "causes": [{"reason": "FieldValueInvalid", "message": why, "field": field}],
    }
    message = f'{kind} "{name}" is invalid: {field}: {why}'
    return StatusError(422, "Invalid", message, details=details)


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def forbidden(plural: str, name: str, why: str) -> StatusError:
    """403, by an admission plugin or RBAC."""
    message = f'{plural} "{name}" is forbidden: {why}'
    return StatusError(403, "Forbidden", message, details={"name": name, "kind": plural})


def expired(message: str = "The resourceVersion is too old") -> StatusError:
    """410: what was asked for is compacted away."""
    return StatusError(410, "Expired", message)


def too_large_version(version: int, current: int) -> StatusError:
    """504: a version from the future."""
    message = f"Too large resource version: {version}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return StatusError(504, "Timeout", message, details={"causes": causes}, retry_after=1)


def unsupported_media_type(content_type: str) -> StatusError:
    """415."""
    message = f"the body of the request was in an unknown format: {content_type}"
    return StatusError(415, "UnsupportedMediaType", message)

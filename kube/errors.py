"""What an API server, or the way to it, can answer instead of success.

ApiError                  any answer with a status of 400 or more
├── BadRequest            400
├── Unauthorized          401
├── Forbidden             403  also: refused by an admission plugin or webhook, quota exceeded
├── NotFound              404
├── Conflict              409  a stale version, a failed precondition, an object in the way
│   └── AlreadyExists     409  reason AlreadyExists
├── Gone                  410  the version to watch from is too old: list again
├── Invalid               422
├── TooManyRequests       429  still so after the bounded waiting
└── ServerError           5xx
Unreachable               no answer: refused, cut, timed out, not TLS, not JSON

Messages carry what the server said, cut to a sensible length, and never a request's body.
"""

import msgspec

_MAX_MESSAGE = 500


class Unreachable(Exception):
    """No usable answer came from the API server. Says nothing about whether a write took place."""


class ApiError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message[:_MAX_MESSAGE]}")
        self.status = status
        self.reason = reason
        self.message = message[:_MAX_MESSAGE]
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401: the credentials are unknown, expired or revoked."""


class Forbidden(ApiError):
    """403: by RBAC, an admission plugin, a webhook or a quota; the message says which."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409."""


class AlreadyExists(Conflict):
    """409 with reason AlreadyExists."""


class Gone(ApiError):
    """410: the resourceVersion is too old."""


class Invalid(ApiError):
    """422: validation failed; the message names the fields."""


class TooManyRequests(ApiError):
    """429."""


class ServerError(ApiError):
    """5xx."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float = 0.0


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    details: _Details | None = None


def error_from(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an answer means; tolerates any body."""
    try:
        answer = msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        answer = _Status(message=body[:200].decode(errors="replace"))
    seconds = answer.details.retry_after_seconds if answer.details else 0.0
    if retry_after is not None and retry_after.isdigit():
        seconds = max(seconds, float(retry_after))
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if status == 409 and answer.reason == "AlreadyExists":
        kind = AlreadyExists
    return kind(status, answer.reason or str(status), answer.message, seconds)

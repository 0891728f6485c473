"""From exceptions to one sentence and a hint."""

import re

from vcluster.cli.output import Failure

_STRICT = re.compile(r"^.* cannot be handled as a \w+: strict decoding error: ")
_INVALID = re.compile(r'^[\w.]+ "[^"]*" is invalid: ')

# What comes with every wrong field of a kind that has CEL rules.
_UNCHECKED = re.compile(
    r",? ?<nil>: Invalid value: null: some validation rules were not checked[^]]*"
)


def explain(error: Exception) -> Failure:
    """The sentence for an exception that no command has explained."""
    from vcluster.control_plane.cluster import ApiError

    if isinstance(error, ApiError):
        return Failure(f"the super cluster refuses: {refusal(str(error))}")
    what = str(error).strip() or "no message"
    return Failure(f"{type(error).__name__}: {what}", "with -v it says where this happened")


def refusal(message: str) -> str:
    """What an API server refused, without the words around the field's path and the reason."""
    text = message.split(": ", 1)[-1] if re.match(r"^[A-Z]\w+: ", message) else message
    text = _UNCHECKED.sub("", _INVALID.sub("", _STRICT.sub("", text))).strip()
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text

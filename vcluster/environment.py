"""Settings of our services, from environment variables."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

Settings = TypeVar("Settings", bound=msgspec.Struct)


def settings(kind: type[Settings], prefix: str, environment: Mapping[str, str]) -> Settings:
    """The variables whose names begin with the prefix, as fields of a struct.

    Raises msgspec.ValidationError, naming the variable and what would be right.
    """
    values = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    return msgspec.convert(values, kind, strict=False)

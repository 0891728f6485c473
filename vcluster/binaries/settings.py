"""What the machine and the user say: read once from the environment, at the edge."""

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

FOLDER_VARIABLE = "VC_BINARIES"
MIRROR_VARIABLE = "VC_BINARIES_MIRROR"
CHECKSUMS_VARIABLE = "VC_BINARIES_CHECKSUMS"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class BinariesError(Exception):
    """A program cannot be had: what was tried and why it failed; and what the person can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to look for programs, where to keep them, and what they may be downloaded from."""

    folder: Path | None = None
    """Named by the user, and asked first."""
    search_path: tuple[Path, ...] = ()
    cache: Path
    mirror: str = ""
    """Replaces the base of every release URL, followed by ``/<project>``; pins stay the same."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Official URL → SHA-256 in hexadecimal digits."""
    system: str
    architecture: str
    """As Go names them: linux, amd64."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the programs that are run: Go reads its proxy and its caches from there."""

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], folder: Path | None = None
    ) -> "Settings":
        """The settings of this process; ``folder`` goes before VC_BINARIES.

        Raises BinariesError, naming the variable and what would be right.
        """
        machine = platform.machine().lower()
        named = environment.get(FOLDER_VARIABLE)
        return cls(
            folder=_existing(folder or (Path(named) if named else None)),
            search_path=tuple(
                Path(entry) for entry in environment.get("PATH", "").split(":") if entry
            ),
            cache=_user_cache(environment) / "virtualcluster" / "binaries",
            mirror=environment.get(MIRROR_VARIABLE, "").rstrip("/"),
            pins=_pins(environment.get(CHECKSUMS_VARIABLE)),
            system=platform.system().lower(),
            architecture=_ARCHITECTURES.get(machine, machine),
            environment=dict(environment),
        )


def _existing(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        msg = f"the folder of programs {folder} does not exist"
        raise BinariesError(msg, f"see --from and {FOLDER_VARIABLE}")
    return folder.absolute() if folder else None


def _user_cache(environment: Mapping[str, str]) -> Path:
    named = Path(environment.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():  # the XDG specification: a relative path is to be ignored
        return named
    home = environment.get("HOME")
    return (Path(home) if home else Path.home()) / ".cache"


def _pins(further: str | None) -> dict[str, str]:
    pins = _table(resources.files(__package__).joinpath("checksums.json").read_text(), "our own")
    if further:
        try:
            pins |= _table(Path(further).read_text(), further)
        except (OSError, ValueError) as error:
            msg = f"{CHECKSUMS_VARIABLE} names a file that cannot be used, {further}: {error}"
            hint = "it must be a JSON object from official release URLs to SHA-256 digests"
            raise BinariesError(msg, hint) from error
    return pins


def _table(text: str, name: str) -> dict[str, str]:
    table = json.loads(text)
    if not isinstance(table, dict):
        msg = f"{name} holds no JSON object"
        raise ValueError(msg)  # noqa: TRY004 - a wrong value in a file, not a wrong argument
    for url, digest in table.items():
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            msg = f"{digest!r} of {url} is not 64 lower-case hexadecimal digits"
            raise ValueError(msg)
    return table

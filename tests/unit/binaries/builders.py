"""Programs, releases and settings for these tests: shell scripts that answer as the real ones do."""

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from vcluster.binaries.catalog import Program, Project, Release
from vcluster.binaries.settings import Settings

TOOL = Program(
    name="tool", package="example.test/tool/cmd/tool", version_pattern=r"tool version (\S+)"
)
OTHER = Program(
    name="other", package="example.test/tool/other/v3", version_pattern=r"other version (\S+)"
)


def a_script(answer: str, padding: int = 0) -> bytes:
    """A program that prints ``answer`` whatever it is asked; padded to be some bytes long."""
    return f"#!/bin/sh\necho '{answer}'\nexit\n".encode() + b"#" * padding


def a_project(
    *,
    programs: Sequence[Program] = (TOOL,),
    base: str = "http://127.0.0.1:9",
    file: str = "{version}/{system}/{architecture}/{program}",
    archived: bool = False,
    module: Path = Path("/nonexistent"),
) -> Project:
    """A project of version v1.2.3."""
    return Project(
        name="tools",
        version="v1.2.3",
        programs=tuple(programs),
        release=Release(base=base, file=file, archived=archived),
        module=module,
        linker_flags="-s -w -X main.version=v1.2.3",
    )


def settings(
    directory: Path,
    *,
    folder: Path | None = None,
    search_path: Sequence[Path] = (),
    pins: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings with the cache in ``directory``/cache, and nothing else unless given."""
    return Settings(
        folder=folder,
        search_path=tuple(search_path),
        cache=directory / "cache",
        pins=pins or {},
        system="linux",
        architecture="amd64",
        environment=environment or {},
    )


def install(directory: Path, name: str, content: bytes, mode: int = 0o755) -> Path:
    """Put a program into a folder."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def an_archive(files: Mapping[str, bytes]) -> bytes:
    """A .tar.gz with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    """The digest, as it is pinned."""
    return hashlib.sha256(content).hexdigest()

"""Download an official release file; used only if its SHA-256 is the pinned one."""

import functools
import gzip
import hashlib
import http.client
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vcluster.binaries.catalog import Program, Project
from vcluster.binaries.progress import Pace, Report, size
from vcluster.binaries.settings import Settings
from vcluster.binaries.unavailable import Unavailable

_PART = 256 * 1024
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download is tried."""

    attempts: int = 4
    pause: float = 1.0
    """Seconds before the second attempt; doubles each time."""
    timeout: float = 20.0
    """Seconds without a byte."""


class _Cut(Exception):
    """The connection ended early, or the server asks to come again later."""


def download(
    project: Project,
    programs: Sequence[Program],
    settings: Settings,
    directory: Path,
    report: Report,
    patience: Patience = Patience(),
) -> None:
    """Put the programs' files into ``directory``. Raises Unavailable, and may leave some there."""
    for path, members in _files(project, programs, settings).items():
        official = f"{project.release.base}/{path}"
        digest = settings.pins.get(official)
        if digest is None:
            raise Unavailable(f"no SHA-256 is pinned for {official}")
        url = f"{settings.mirror}/{project.name}/{path}" if settings.mirror else official
        file = directory / path.rsplit("/", 1)[-1]
        fetch(url, digest, file, report, patience)
        if project.release.archived:
            _extract(file, members, directory)
            file.unlink()
        else:
            file.rename(directory / members[0].name)
    for program in programs:
        (directory / program.name).chmod(0o755)


def fetch(url: str, digest: str, file: Path, report: Report, patience: Patience) -> None:
    """Download one file and compare its digest. A connection that is cut is resumed."""
    pace = Pace(report)
    report(f"downloading {url}")
    for attempt in range(1, patience.attempts + 1):
        try:
            with file.open("ab") as target:
                _transfer(url, target, pace, patience.timeout)
            break
        except _Cut as error:
            if attempt == patience.attempts:
                msg = f"{url}: {error}; given up after {attempt} attempts"
                raise Unavailable(msg) from error
            pause = patience.pause * 2 ** (attempt - 1)
            report(
                f"{url}: {error}; trying again in {pause:g} s ({attempt} of {patience.attempts})"
            )
            time.sleep(pause)
    with file.open("rb") as source:
        actual = hashlib.file_digest(source, "sha256").hexdigest()
    if actual != digest:
        file.unlink()
        raise Unavailable(f"{url} has the SHA-256 {actual}, but {digest} is pinned: not used")
    report(f"downloaded {size(file.stat().st_size)} in {pace.elapsed}; the SHA-256 is right")


def _transfer(url: str, target: BinaryIO, pace: Pace, timeout: float) -> None:
    """Append what is still missing. Raises _Cut if it may be worth another try."""
    present = target.tell()
    request = urllib.request.Request(url, headers={"User-Agent": "virtualcluster"})
    if present:
        request.add_header("Range", f"bytes={present}-")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            if response.status != http.client.PARTIAL_CONTENT:
                target.truncate(0)
                present = 0
            _copy(response, target, present, pace)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            target.truncate(0)
        elif error.code < http.client.INTERNAL_SERVER_ERROR and error.code != _TOO_MANY_REQUESTS:
            raise Unavailable(f"{url}: the server answers {error.code} {error.reason}") from error
        raise _Cut(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if present:
            raise _Cut(f"the server cannot be reached any more: {error.reason}") from error
        raise Unavailable(f"{url} cannot be reached: {error.reason}") from error
    except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Cut(f"the connection failed: {error}") from error


def _copy(response: http.client.HTTPResponse, target: BinaryIO, present: int, pace: Pace) -> None:
    length = response.headers.get("Content-Length")
    total = present + int(length) if length else None
    while part := response.read(_PART):
        target.write(part)
        present += len(part)
        pace.tell(functools.partial(_so_far, present, total, pace))
    if total is not None and present < total:
        raise _Cut(f"the connection was cut after {present} of {total} bytes")


def _so_far(present: int, total: int | None, pace: Pace) -> str:
    of = f" of {size(total)}" if total else ""
    return f"downloading: {size(present)}{of} ({pace.elapsed})"


def _files(
    project: Project, programs: Sequence[Program], settings: Settings
) -> dict[str, list[Program]]:
    """The release files to download, each with the programs that it holds."""
    files: dict[str, list[Program]] = {}
    for program in programs:
        path = project.release.path(
            project.version, settings.system, settings.architecture, program.name
        )
        files.setdefault(path, []).append(program)
    return files


def _extract(archive: Path, programs: Sequence[Program], directory: Path) -> None:
    """Only the programs, whatever else the archive holds, and wherever in it they are."""
    wanted = {program.name for program in programs}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                if name in wanted and member.isfile():
                    source = tar.extractfile(member)
                    assert source is not None
                    with source, (directory / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
                    wanted.discard(name)
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise Unavailable(f"{archive.name} cannot be unpacked: {error}") from error
    if wanted:
        raise Unavailable(f"{archive.name} does not hold {', '.join(sorted(wanted))}")

"""The images that every real node gets, made on this machine; and any archive put into the nodes."""

import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path

import msgspec

from vcluster.api import DNS_IMAGE
from vcluster.assets import templates_directory
from vcluster.local.real_nodes import image_archive
from vcluster.local.real_nodes.commands import CommandError, run
from vcluster.local.real_nodes.components import entering
from vcluster.local.real_nodes.image_archive import Image
from vcluster.local.real_nodes.site import Node, Site
from vcluster.supervision import host
from vcluster.supervision.program import SEARCH_PATH

PAUSE = "localhost/pause:1"
BUSYBOX = "localhost/busybox:1"
TOOLBOX = "localhost/toolbox:1"
"""busybox (httpd, nc, nslookup, wget) and kubectl, as a client of the cluster that it runs in."""
COREDNS = f"docker.io/{DNS_IMAGE}"
"""Under the name that tenants' DNS asks for, as containerd completes it."""

IMPORT_SECONDS = 300
CTR = ("ctr", "--namespace", "k8s.io", "images", "import")


class ImageError(Exception):
    """An image cannot be made or put into a node; says which and why."""


def build(site: Site, programs: Mapping[str, Path]) -> list[Path]:
    """Make what is missing or of other programs; the archives of all. Raises ImageError."""
    host.private_directory(site.images)
    busybox = shutil.which("busybox", path=SEARCH_PATH)
    if busybox is None:
        raise ImageError("there is no busybox")
    shell = Path(busybox)
    wanted = {
        "pause": Image(PAUSE, files=((_pause(site), "/pause"),), entrypoint=("/pause",)),
        "busybox": Image(BUSYBOX, busybox=shell, command=("sh",)),
        "toolbox": Image(
            TOOLBOX,
            busybox=shell,
            files=((programs["kubectl"], "/usr/bin/kubectl"),),
            command=("sh",),
        ),
        "coredns": Image(
            COREDNS, files=((programs["coredns"], "/coredns"),), entrypoint=("/coredns",)
        ),
    }
    return [_ensure(site, name, image) for name, image in wanted.items()]


def load(node: Node, archive: Path) -> None:
    """Put an archive's images into a node, whatever it has. Raises ImageError."""
    try:
        with archive.open("rb") as file:
            done = subprocess.run(
                [*entering(node), *CTR, "-"],
                stdin=file,
                capture_output=True,
                text=True,
                check=False,
                timeout=IMPORT_SECONDS,
            )
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{node.name} did not import {archive} in {IMPORT_SECONDS} s") from error
    except OSError as error:
        raise ImageError(f"{archive} cannot be read: {error.strerror}") from error
    if done.returncode:
        raise ImageError(f"{node.name} cannot import {archive}: {done.stderr.strip()[-300:]}")


def loaded(node: Node) -> dict[str, str]:
    """The archives that a node has got, by file name, with their digests."""
    try:
        return msgspec.json.decode(_record(node).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def answers(node: Node) -> bool:
    """Whether the node's containerd serves requests."""
    done = subprocess.run(
        [*entering(node), "ctr", "version"], capture_output=True, check=False, timeout=90
    )
    return done.returncode == 0


def _record(node: Node) -> Path:
    # Beside containerd's own files: lost with them.
    return node.directory / "lib" / "images.json"


def _ensure(site: Site, name: str, image: Image) -> Path:
    archive, mark = site.images / f"{name}.tar", site.images / f"{name}.of"
    of = _fingerprint(image)
    if not archive.exists() or not mark.exists() or mark.read_text() != of:
        mark.unlink(missing_ok=True)
        try:
            image_archive.write(image, archive, platform.machine())
        except (OSError, subprocess.SubprocessError) as error:
            raise ImageError(f"the image {image.name} cannot be made: {error}") from error
        host.write_private(mark, of)
    return archive


def _fingerprint(image: Image) -> str:
    """Changes when what the image is made of does."""
    programs = [path for path, _ in image.files]
    sizes = [
        (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        for path in [*programs, *([image.busybox] if image.busybox else [])]
    ]
    return sha256(repr((image, sizes)).encode()).hexdigest()


def _pause(site: Site) -> Path:
    """The program of the pods' PID 1, compiled once."""
    program = site.images / "pause"
    source = templates_directory() / "real-node" / "pause.c"
    if not program.exists():
        temporary = program.with_name(".pause.new")
        try:
            run("cc", "-Os", "-static", "-s", "-o", str(temporary), str(source))
        except CommandError as error:
            raise ImageError(f"the pause program cannot be compiled: {error}") from error
        temporary.replace(program)
    return program


def has_all(node: Node, archives: Sequence[Path]) -> bool:
    """Whether a node has got all these archives, as they are now."""
    known = loaded(node)
    return all(known.get(archive.name) == _digest(archive) for archive in archives)


def load_all(node: Node, archives: Sequence[Path]) -> None:
    """Put those archives into a node that it lacks. Raises ImageError."""
    for archive in archives:
        digest = _digest(archive)
        known = loaded(node)
        if known.get(archive.name) != digest:
            load(node, archive)
            text = msgspec.json.encode(known | {archive.name: digest}).decode()
            host.write_private(_record(node), text)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()

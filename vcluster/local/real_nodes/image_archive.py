"""Image archives (docker-archive) without a container engine or a registry: written and looked into.

The same input gives the same bytes, so the images' ids are stable.
"""

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o755,
    "tmp": 0o1777,
    "var": 0o755,
}
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = b"root:x:0:\nnogroup:x:65534:\n"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ArchiveError(Exception):
    """A file is no image archive; says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """What an image holds and does."""

    name: str
    """With its tag, for example ``localhost/busybox:1``."""
    files: tuple[tuple[Path, str], ...] = ()
    """Programs of the host, and where they go; with the libraries that they need."""
    busybox: Path | None = None
    """Put it into /bin, with a link for each of its programs."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    """Who its programs run as, by number; root if empty."""


def write(image: Image, target: Path, machine: str) -> None:
    """Write the archive, in one step. ``machine`` is the hardware as uname(1) names it."""
    layer = _layer(image)
    config = _config(image, hashlib.sha256(layer).hexdigest(), machine)
    layer_path = f"{hashlib.sha256(layer).hexdigest()}/layer.tar"
    config_path = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_path, "RepoTags": [image.name], "Layers": [layer_path]}]
    temporary = target.with_name(f".{target.name}.new")
    with tarfile.open(temporary, "w") as archive:
        _file(archive, config_path, config)
        _folder(archive, PurePosixPath(layer_path).parent.name)
        _file(archive, layer_path, layer)
        _file(archive, "manifest.json", json.dumps(manifest).encode())
    temporary.replace(target)


def names(path: Path) -> list[str]:
    """The names of the images in an archive, as docker save or an OCI tool wrote it.

    Raises ArchiveError.
    """
    try:
        with tarfile.open(path) as archive:
            found = _names(archive)
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path} is no image archive: {error}") from error
    if not found:
        raise ArchiveError(f"{path} holds no image with a name: save it by its name and tag")
    return found


def _names(archive: tarfile.TarFile) -> list[str]:
    entries = set(archive.getnames())
    if "manifest.json" in entries:
        return [tag for item in _read(archive, "manifest.json") for tag in item["RepoTags"] or ()]
    if "index.json" in entries:
        manifests = _read(archive, "index.json")["manifests"]
        annotations = [item.get("annotations") or {} for item in manifests]
        keys = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
        return [str(one[key]) for one in annotations for key in keys if key in one]
    raise ValueError("it has neither a manifest.json nor an index.json")


def _read(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return json.load(file)


def _layer(image: Image) -> bytes:
    """The one layer of the image, as an uncompressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, mode in FOLDERS.items():
            _folder(archive, path, mode)
        _file(archive, "etc/passwd", PASSWD)
        _file(archive, "etc/group", GROUP)
        if image.busybox:
            _add_busybox(archive, image.busybox)
        known = set(FOLDERS)
        libraries = {path for source, _ in image.files for path in _libraries(source)}
        for source, place in (*image.files, *((Path(path), path) for path in sorted(libraries))):
            relative = PurePosixPath(place.lstrip("/"))
            for parent in reversed(relative.parents[:-1]):
                if str(parent) not in known:
                    _folder(archive, str(parent))
                    known.add(str(parent))
            _file(archive, str(relative), source.read_bytes(), 0o755)
    return buffer.getvalue()


def _add_busybox(archive: tarfile.TarFile, busybox: Path) -> None:
    _file(archive, "bin/busybox", busybox.read_bytes(), 0o755)
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in listed.stdout.split():
        if applet != "busybox":
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, "busybox"
            archive.addfile(info)


def _libraries(program: Path) -> Sequence[str]:
    """The loader and the libraries of a program; none of a static one."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", listed.stdout)


def _config(image: Image, diff: str, machine: str) -> bytes:
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": list(image.entrypoint) or None,
            "Cmd": list(image.command) or None,
            "User": image.user,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "virtualcluster"}],
    }
    return json.dumps(config, sort_keys=True).encode()


def _file(archive: tarfile.TarFile, path: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.size = mode, len(data)
    archive.addfile(info, io.BytesIO(data))


def _folder(archive: tarfile.TarFile, path: str, mode: int = 0o755) -> None:
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, mode
    archive.addfile(info)

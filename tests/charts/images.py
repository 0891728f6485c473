"""The images that charts and manifests name, made on this machine without a registry."""

import platform
import shutil
from pathlib import Path

from tests.charts.model import AGNHOST, StandIn
from vcluster.local.real_nodes import image_archive
from vcluster.local.real_nodes.image_archive import Image

HERE = Path(__file__).parent


def agnhost(program: Path, folder: Path) -> Path:
    """The archive of the image that the manifests' own pods run."""
    shell = _machine("bash")
    files = ((program, "/agnhost"), (shell, "/bin/sh"), (shell, "/bin/bash"))
    tools = tuple((_machine(name), f"/usr/bin/{name}") for name in ("curl",))
    image = Image(
        AGNHOST,
        files=(*files, *tools),
        busybox=_machine("busybox"),
        entrypoint=("/agnhost",),
        command=("pause",),
    )
    return _write(image, folder)


def archive(stand_in: StandIn, built: Path, system: Path) -> Path:
    """Write the archive beside the programs in ``built``. ``system``: the local one's directory."""
    files = [
        file
        for reference, place in stand_in.files
        for file in _find(reference, place, built, system)
    ]
    image = Image(
        stand_in.name,
        files=tuple(files),
        busybox=_machine("busybox") if stand_in.busybox else None,
        entrypoint=stand_in.entrypoint,
        command=stand_in.command,
        user=stand_in.user,
    )
    return _write(image, built / "images")


def _find(reference: str, place: str, built: Path, system: Path) -> list[tuple[Path, str]]:
    kind, _, name = reference.partition(":")
    if kind == "module":
        folder = built / "source" / name
        return [(path, f"{place}/{path.name}") for path in sorted(folder.iterdir())]
    if kind == "machine":
        return [(_machine(name), place)]
    base = {"program": built / "bin", "system": system / "bin", "here": HERE}[kind]
    return [(base / name, place)]


def _machine(name: str) -> Path:
    found = shutil.which(name)
    assert found is not None, f"the program {name} is missing"
    return Path(found).resolve()


def _write(image: Image, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (image.name.rpartition("/")[2].replace(":", "-") + ".tar")
    image_archive.write(image, target, platform.machine())
    return target

"""The images that upstream's tests ask for, made on this machine under upstream's names.

Names and tags are those of ``test/utils/image/manifest.go`` of Kubernetes 1.37. What an image does
follows its Dockerfile in ``test/images``; what it is made of does not: busybox and programs of this
machine stand in for Alpine, and busybox's httpd for nginx.
"""

import platform
import shutil
import subprocess
from pathlib import Path

from vcluster.local.real_nodes import image_archive
from vcluster.local.real_nodes.image_archive import Image

E2E = "registry.k8s.io/e2e-test-images"
PROGRAMS = {
    "dig": "bind9-dnsutils",
    "curl": "curl",
    "nc": "netcat-openbsd",
    "ss": "iproute2",
    "bash": "bash",
    "socat": "socat",
    "getent": "libc-bin",
}
"""What agnhost's image has besides busybox, and the Debian packages that have it."""

ACCOUNTS = {
    "passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "nobody:x:65534:65534::/:/bin/false\n"
        "user-defined-in-image:x:1000:1000::/home:/bin/sh\n"
    ),
    "group": (
        "root:x:0:\n"
        "nogroup:x:65534:\n"
        "user-defined-in-image:x:1000:user-defined-in-image\n"
        "group-defined-in-image:x:50000:user-defined-in-image\n"
    ),
}
PAGE = "<html><body><h1>Welcome to nginx!</h1></body></html>\n"


def install() -> None:
    """Obtain the programs that are missing, from Debian."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        command = ("apt-get", "install", "--yes", "--no-install-recommends")
        subprocess.run([*command, *missing], check=True)


def build(agnhost: Path, pause: Path, folder: Path) -> list[Path]:
    """Write the archives into ``folder``; what was written before is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    wanted = _images(agnhost, pause, Path(busybox), folder)
    archives = []
    for image in wanted:
        archive = folder / (image.name.rpartition("/")[2].replace(":", "-") + ".tar")
        image_archive.write(image, archive, platform.machine())
        archives.append(archive)
    return archives


def _images(agnhost: Path, pause: Path, busybox: Path, folder: Path) -> list[Image]:
    # busybox's own shell prefers its applets to programs, and drops variables with a "-" in their name.
    posix = ((_program("bash"), "/bin/sh"),)
    tools = (*posix, *((_program(name), f"/usr/bin/{name}") for name in PROGRAMS))
    accounts = tuple(
        (_text(folder / name, text), f"/etc/{name}") for name, text in ACCOUNTS.items()
    )
    uploads = (_text(folder / "keep", ""), "/uploads/.keep")
    server = (*tools, *accounts, uploads, (agnhost, "/agnhost"))

    def serving(name: str, picture: str) -> Image:
        data = _text(folder / f"{picture}.json", f'{{"image": "{picture}.jpg"}}\n')
        files = ((agnhost, "/agnhost"), (data, "/data.json"))
        return Image(
            name,
            files=files,
            busybox=busybox,
            entrypoint=("/agnhost",),
            command=("test-webserver",),
        )

    def pages(name: str) -> Image:
        page = _text(folder / "index.html", PAGE)
        directory = "/usr/share/nginx/html"
        return Image(
            name,
            files=((page, f"{directory}/index.html"),),
            busybox=busybox,
            command=("httpd", "-f", "-p", "80", "-h", directory),
        )

    def shell(name: str, user: str = "") -> Image:
        return Image(name, files=posix, busybox=busybox, command=("sh",), user=user)

    def agnhosts(name: str) -> Image:
        files = (*server, (agnhost, "/agnhost-2"))
        return Image(
            name, files=files, busybox=busybox, entrypoint=("/agnhost",), command=("pause",)
        )

    return [
        agnhosts(f"{E2E}/agnhost:2.66.1"),
        agnhosts(f"{E2E}/agnhost:2.55"),
        shell(f"{E2E}/busybox:1.37.0-2"),
        shell(f"{E2E}/nonroot:1.5", user="1234"),
        shell(f"{E2E}/ipc-utils:1.4"),
        Image(f"{E2E}/glibc-dns-testing:2.1.1", files=tools, busybox=busybox, command=("sh",)),
        pages(f"{E2E}/nginx:1.27.0-2"),
        pages(f"{E2E}/nginx:1.28.0-2"),
        serving(f"{E2E}/kitten:1.8", "kitten"),
        serving(f"{E2E}/nautilus:1.8", "nautilus"),
        Image("registry.k8s.io/pause:3.10.2", files=((pause, "/pause"),), entrypoint=("/pause",)),
    ]


def _program(name: str) -> Path:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: install the package {PROGRAMS[name]}"
    return Path(found).resolve()


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path

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
    "wget": "wget",  # busybox's crashes when it is given a time-out
    "nc": "netcat-openbsd",
    "ss": "iproute2",
    "bash": "bash",
    "socat": "socat",
    "printenv": "coreutils",
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
PORTER = ("localhost.crt", "localhost.key")
PAGE = "<html><body><h1>Welcome to nginx!</h1></body></html>\n"


def install() -> None:
    """Obtain the programs that are missing, from Debian."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        command = ("apt-get", "install", "--yes", "--no-install-recommends")
        subprocess.run([*command, *missing], check=True)


def build(programs: Path, state: Path, sources: Path, folder: Path) -> list[Path]:
    """Write the archives into ``folder``; what was written before is replaced.

    ``programs``: what was built for the tests. ``state``: the directory of the local system, whose
    etcd, coredns and pause are used. ``sources``: of Kubernetes, for a certificate that agnhost serves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    coredns = state / "bin" / "coredns"
    make = _Maker(programs / "agnhost", coredns, sources / "test" / "images" / "agnhost", folder)
    archives = []
    for image in (*_images(make), *_programs(programs, state)):
        archive = folder / (image.name.rpartition("/")[2].replace(":", "-") + ".tar")
        image_archive.write(image, archive, platform.machine())
        archives.append(archive)
    return archives


class _Maker:
    """Each kind of image, of the programs of this machine."""

    def __init__(self, agnhost: Path, coredns: Path, sources: Path, folder: Path) -> None:
        self._agnhost = (agnhost, "/agnhost")
        self._folder = folder
        self._busybox = _program("busybox")
        # busybox's own shell prefers its applets to programs, and drops variables with a "-" in their name.
        self._shell = (_program("bash"), "/bin/sh")
        programs = ((_program(name), f"/usr/bin/{name}") for name in PROGRAMS)
        self._tools = (self._shell, (self._shell[0], "/bin/bash"), *programs)
        accounts = ((_text(folder / name, text), f"/etc/{name}") for name, text in ACCOUNTS.items())
        pair = ((sources / "porter" / name, f"/{name}") for name in PORTER)
        uploads = (_text(folder / "keep", ""), "/uploads/.keep")
        server = (coredns, "/coredns")
        self._server = (*self._tools, *accounts, uploads, *pair, self._agnhost, server)

    def agnhost(self, name: str) -> Image:
        """The program that most tests run, twice: some want another entry point."""
        files = (*self._server, (self._agnhost[0], "/agnhost-2"))
        return self._image(name, files, entrypoint=("/agnhost",), command=("pause",))

    def serving(self, name: str, picture: str) -> Image:
        """A server that says which picture it has."""
        data = _text(self._folder / f"{picture}.json", f'{{"image": "{picture}.jpg"}}\n')
        files = (self._agnhost, (data, "/data.json"))
        return self._image(name, files, entrypoint=("/agnhost",), command=("test-webserver",))

    def pages(self, name: str) -> Image:
        """A web server with one page, where nginx has it."""
        directory = "/usr/share/nginx/html"
        page = (_text(self._folder / "index.html", PAGE), f"{directory}/index.html")
        return self._image(name, (page,), command=("httpd", "-f", "-p", "80", "-h", directory))

    def shell(self, name: str, user: str = "") -> Image:
        """busybox and a shell."""
        return self._image(name, (self._shell,), command=("sh",), user=user)

    def tools(self, name: str) -> Image:
        """The same with programs that ask name servers and more."""
        return self._image(name, self._tools, command=("sh",))

    def _image(
        self,
        name: str,
        files: tuple[tuple[Path, str], ...],
        *,
        command: tuple[str, ...],
        entrypoint: tuple[str, ...] = (),
        user: str = "",
    ) -> Image:
        return Image(
            f"{E2E}/{name}",
            files=files,
            busybox=self._busybox,
            entrypoint=entrypoint,
            command=command,
            user=user,
        )


def _programs(programs: Path, state: Path) -> list[Image]:
    """Images of one program each."""
    sample = programs / "sample-apiserver"
    pause = state / "real-nodes" / "images" / "pause"
    etcd = state / "bin" / "etcd"
    return [
        Image("registry.k8s.io/pause:3.10.2", files=((pause, "/pause"),), entrypoint=("/pause",)),
        Image("registry.k8s.io/etcd:3.7.0-0", files=((etcd, "/usr/local/bin/etcd"),)),
        Image(
            f"{E2E}/sample-apiserver:1.29.2",
            files=((sample, "/sample-apiserver"),),
            entrypoint=("/sample-apiserver",),
        ),
    ]


def _images(make: _Maker) -> list[Image]:
    return [
        make.agnhost("agnhost:2.66.1"),
        make.agnhost("agnhost:2.55"),
        make.shell("busybox:1.37.0-2"),
        make.shell("nonroot:1.5", user="1234"),
        make.shell("ipc-utils:1.4"),
        make.tools("glibc-dns-testing:2.1.1"),
        make.pages("nginx:1.27.0-2"),
        make.pages("nginx:1.28.0-2"),
        make.serving("kitten:1.8", "kitten"),
        make.serving("nautilus:1.8", "nautilus"),
    ]


def _program(name: str) -> Path:
    found = shutil.which(name)
    assert found is not None, f"the program {name} is missing"
    return Path(found).resolve()


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path

"""`vc images load`."""

import platform
import shutil
from functools import partial
from pathlib import Path

from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.e2e_real.containers import container_pod, is_ready
from vcluster.local.real_nodes.image_archive import Image, write


def test_an_image_is_loaded_into_every_node(
    local: LocalSystem, team_a: TenantCluster, tmp_path: Path
) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None
    archive = tmp_path / "own.tar"
    write(Image("localhost/own:7", busybox=Path(busybox)), archive, platform.machine())
    done = local.vc("images", "load", str(archive))
    assert "localhost/own:7: in real-0, real-1" in done.stdout + done.stderr
    for node in ("real-0", "real-1"):
        team_a.apply(container_pod(f"own-{node}", "sleep 1000", node, "localhost/own:7"))
    for node in ("real-0", "real-1"):
        wait_for(f"it runs on {node}", partial(is_ready, team_a, f"own-{node}"))
    team_a.kubectl("delete", "pod", "own-real-0", "own-real-1", "--wait=false")


def test_what_is_no_image_is_refused(local: LocalSystem, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no archive")
    done = local.vc("images", "load", str(text), check=False)
    assert done.returncode == 1
    assert f"{text} is no image archive" in done.stderr

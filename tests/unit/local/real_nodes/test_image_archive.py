"""Image archives: written without a container engine, and looked into."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from vcluster.local.real_nodes.image_archive import ArchiveError, Image, names, write


def archive_of(path: Path, **files: object) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_an_image_is_written_and_found_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    image = Image("localhost/one:1", files=((program, "/usr/local/bin/one"),), entrypoint=("one",))
    target = tmp_path / "one.tar"
    write(image, target, "x86_64")
    assert names(target) == ["localhost/one:1"]
    first = target.read_bytes()
    write(image, target, "x86_64")
    assert target.read_bytes() == first
    with tarfile.open(target) as outer:
        [manifest] = json.load(outer.extractfile("manifest.json") or io.BytesIO())
        config = json.load(outer.extractfile(manifest["Config"]) or io.BytesIO())
        assert config["architecture"] == "amd64"
        assert config["config"]["Entrypoint"] == ["one"]
        layer = outer.extractfile(manifest["Layers"][0])
        with tarfile.open(fileobj=layer) as inner:
            assert inner.getmember("usr/local/bin/one").mode == 0o755
            assert inner.getmember("tmp").mode == 0o1777


def test_names_of_other_tools_archives(tmp_path: Path) -> None:
    docker = archive_of(tmp_path / "d", manifest_json=[{"RepoTags": ["a:1", "b:2"]}])
    assert names(docker) == ["a:1", "b:2"]
    annotations = {"io.containerd.image.name": "registry/c:3"}
    oci = archive_of(tmp_path / "o", index_json={"manifests": [{"annotations": annotations}]})
    assert names(oci) == ["registry/c:3"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"other_json": []}, "neither a manifest.json nor an index.json"),
        ({"manifest_json": [{"RepoTags": None}]}, "no image with a name"),
        ({"manifest_json": {"wrong": 1}}, "is no image archive"),
        ({"index_json": {}}, "is no image archive"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, files: dict[str, object], words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        names(archive_of(tmp_path / "x", **files))


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "notes"
    text.write_text("hello")
    with pytest.raises(ArchiveError, match=str(text)):
        names(text)

"""`vc images`: what pods on real nodes can run."""

from pathlib import Path

import click

from vcluster.cli.output import Failure, say
from vcluster.cli.up import STATE_DIR_HELP, explained


@click.group()
def images() -> None:
    """Put container images into the real nodes, which pull from no registry."""


@images.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--state-dir", type=click.Path(path_type=Path), help=STATE_DIR_HELP)
def load(file: Path, state_dir: Path | None) -> None:
    """Put the images of FILE into every real node.

    FILE is an archive as 'docker save' or 'podman save' writes it, or an OCI archive. Give images a
    tag other than "latest", for which Kubernetes would ask a registry.
    """
    from vcluster.local.real_nodes import images as node_images
    from vcluster.local.real_nodes.image_archive import ArchiveError, names
    from vcluster.local.state import State

    state = State.find(state_dir)
    site = state.site()
    if site is None:
        message = f"{state.directory} has no real nodes"
        raise Failure(message, "vc up --real-nodes 1 makes one; --state-dir names another folder")
    try:
        found = names(file)
    except ArchiveError as error:
        raise Failure(str(error)) from error
    nodes = site.nodes(state.read().options.real_nodes)
    with explained():
        for node in nodes:
            node_images.load(node, file)
    say(f"{', '.join(found)}: in {', '.join(node.name for node in nodes)}")

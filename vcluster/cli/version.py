"""``vc version``: which version this is, and of which Kubernetes."""

import click

from vcluster.cli.output import output_option, show_document


@click.command()
@output_option
def version(output: str) -> None:
    """Print the version, and the Kubernetes version of new tenants."""
    from importlib import metadata

    from vcluster.api import KUBERNETES_VERSION

    try:
        own = metadata.version("virtualcluster")
    except metadata.PackageNotFoundError:
        own = "unknown"
    if output == "table":
        click.echo(f"vc {own} (Kubernetes {KUBERNETES_VERSION})")
    else:
        show_document({"version": own, "kubernetesVersion": KUBERNETES_VERSION}, output)

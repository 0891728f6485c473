"""The command line for people: ``vc``, which is also ``kubectl vc``; one module per command."""

from vcluster.cli.main import main

__all__ = ["main"]

"""Where our own templates and charts are: in a checkout, or inside the installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def assets_directory() -> Path:
    """The folder that holds ``templates/`` and ``charts/``."""
    installed = _PACKAGE / "_assets"
    return installed if installed.is_dir() else _PACKAGE.parent


def templates_directory() -> Path:
    """The jinja2 templates: what our programs create."""
    return assets_directory() / "templates"


def charts_directory() -> Path:
    """The Helm chart: how our programs are installed."""
    return assets_directory() / "charts"

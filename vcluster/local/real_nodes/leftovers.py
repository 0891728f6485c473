"""What real nodes leave when they are killed: ended and removed."""

from collections.abc import Iterator
from pathlib import Path

from vcluster.local.real_nodes import cgroups, router
from vcluster.local.real_nodes.site import Site


def clear(state_directory: Path) -> None:
    """Remove what is left on the host of all nodes of a state directory; their files stay.

    Only while none of their programs runs. Done again, it changes nothing. Raises TimeoutError,
    CommandError.
    """
    site = Site(state_directory, 0)
    if any(left_on_host(site)):
        cgroups.remove(site.mark)
        router.clear(site)


def left_on_host(site: Site) -> Iterator[Path]:
    """The cgroups and the network interface of a site that are there."""
    places = [cgroups.ROOT / name / site.mark for name in cgroups.HIERARCHIES]
    yield from (path for path in [*places, Path(f"/sys/class/net/{site.mark}")] if path.exists())

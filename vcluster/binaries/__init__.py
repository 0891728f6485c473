"""The Kubernetes programs: found, downloaded or built.

Which programs and versions: ``catalog``. Where they come from, first that fits: a folder named by
the user, ``PATH``, the cache by version, the official release with a pinned SHA-256, a build from
the pinned Go modules under ``modules/``. Three functions for others, all synchronous:

- ``locate(names, folder)``: where each program is now; obtains nothing.
- ``ensure(names, report, folder)``: the paths of all of them; obtains what is missing, which may
  take minutes, telling ``report`` one line at a time. Safe to run twice at once, and to kill.
- ``assemble(directory, programs)``: a folder of links named as the programs.

Errors are BinariesError: ``message`` says what was tried and why it failed, ``hint`` what to do.
The environment: VC_BINARIES (the folder), VC_BINARIES_MIRROR (where releases are downloaded from),
VC_BINARIES_CHECKSUMS (a JSON file of further pins), XDG_CACHE_HOME, PATH, and what Go reads.
"""

from vcluster.binaries.catalog import NAMES, REAL_NODE_NAMES
from vcluster.binaries.find import Located, Source, locate
from vcluster.binaries.links import assemble
from vcluster.binaries.obtain import ensure
from vcluster.binaries.progress import Progress
from vcluster.binaries.settings import BinariesError, Settings

__all__ = [
    "NAMES",
    "REAL_NODE_NAMES",
    "BinariesError",
    "Located",
    "Progress",
    "Settings",
    "Source",
    "assemble",
    "ensure",
    "locate",
]

"""``python -m tests.charts``, called by ``make charts``: docs/charts.md."""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.charts import images, report, sources, trial
from tests.charts.model import Entry
from tests.charts.table import ENTRIES, HELM
from tests.conformance import clusters, programs
from tests.conformance import images as upstream
from tests.conformance.options import parser_of
from tests.e2e.local_system import Cluster, LocalSystem
from vcluster.local.real_nodes import requirements

NAMES = tuple(entry.name for entry in ENTRIES)
TENANT = "charts"


def main() -> int:
    """Run; 1 if an entry fails."""
    options = _options()
    chosen = [entry for entry in ENTRIES if entry.name in (options.only or NAMES)]
    by_name = {entry.name: entry for entry in ENTRIES}
    requirements.check(options.state_dir)
    requirements.install(print)
    upstream.install()
    agnhost = programs.agnhost(options.programs / "conformance")
    cache = options.programs / "charts"
    helm = sources.obtain("helm", HELM, cache) / "bin" / "helm"
    options.output.mkdir(parents=True, exist_ok=True)
    system = LocalSystem(options.state_dir)
    results = []
    try:
        clusters.bring_up(system)
        clusters.load(system, [images.agnhost(agnhost, cache / "images")])
        cluster = _tenant(system)
        with tempfile.TemporaryDirectory() as home:
            for entry in chosen:
                needed = [by_name[name] for name in entry.needs]
                try:
                    built = _provide((*needed, entry), cache, system)
                except trial.FAILURES as error:
                    results.append(report.Result.of(entry, 0.0, str(error)))
                else:
                    bench = trial.Bench(helm, cluster, Path(home), built)
                    log = options.output / f"{entry.name}.log"
                    results.append(trial.run(bench, entry, needed, log))
                (options.output / "report.md").write_text(report.text(results))
    finally:
        if not options.keep:
            system.purge()
    print(report.text(results))
    return int(any(result.reason for result in results))


def _provide(entries: Sequence[Entry], cache: Path, system: LocalSystem) -> Mapping[str, Path]:
    """Build what they need, load their images, and say where their sources are."""
    folders = {entry.name: sources.obtain(entry.name, entry.module, cache) for entry in entries}
    for entry in entries:
        for image in entry.images:
            made = images.archive(image, folders[entry.name], system.state_directory)
            clusters.load(system, [made])
    return {name: folder / "source" for name, folder in folders.items()}


def _tenant(system: LocalSystem) -> Cluster:
    """An ordinary one, of the class standard; the one of the last run if that was kept."""
    if system.super.get("virtualcluster", TENANT, "tenants") is None:
        system.vc("create", TENANT)
    tenant = system.tenant(TENANT)
    clusters.await_dns(tenant)
    return tenant


def _options() -> argparse.Namespace:
    parser = parser_of("charts", __doc__)
    only = f"of {', '.join(NAMES)}"
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=only)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (requirements.MissingRequirement, subprocess.CalledProcessError) as error:
        sys.exit(f"charts: {error}")

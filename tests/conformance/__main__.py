"""``python -m tests.conformance``, called by ``make conformance``: docs/conformance.md."""

import argparse
import subprocess
import sys

from tests.conformance import clusters, images, programs, report, suite
from tests.conformance.options import parser_of
from tests.e2e.local_system import LocalSystem
from vcluster.api import KUBERNETES_VERSION
from vcluster.local.real_nodes import requirements

SIDES = ("super", "tenant")
NOT_BESIDE_OTHERS = (
    r"\[Serial\]|\[Disruptive\]|\[Slow\]|"
    # It pulls its image always. While a kubelet tries, it trusts no copy of that image which it has, and
    # other tests' pods must pull as well, and so on: there is no registry.
    r"to establish an mTLS connection"
)


def main() -> int:
    """Run; 1 if a test fails in the tenant only."""
    options = _options()
    built = options.programs / KUBERNETES_VERSION
    requirements.check(options.state_dir)
    requirements.install(print)
    images.install()
    programs.build(options.programs)
    selection = suite.Selection(
        focus=options.focus,
        skip=options.skip,
        processes=options.processes,
        timeout=options.timeout,
    )
    system = LocalSystem(options.state_dir)
    try:
        clusters.bring_up(system)
        folder = options.programs / "images"
        archives = images.build(built, options.state_dir, programs.sources(), folder)
        clusters.load(system, archives)
        for side in SIDES:
            if options.side in (side, "both"):
                prepare = clusters.prepare_super if side == "super" else clusters.prepare_tenant
                cluster = prepare(system)
                print(f"running against the {side}: {options.output / side}/output.log", flush=True)
                suite.run(built, cluster, selection, options.output / side)
    finally:
        if not options.keep:
            system.purge()
    bare, tenant = (suite.results(options.output / side) for side in SIDES)
    table = report.text(bare, tenant)
    (options.output / "report.md").write_text(table)
    print(table)
    return int(bool(report.only_in_tenant(bare, tenant)))


def _options() -> argparse.Namespace:
    parser = parser_of("conformance", __doc__, programs="conformance")
    add = parser.add_argument
    add("--side", choices=(*SIDES, "both"), default="both", help="which cluster (default: both)")
    add("--focus", default=r"\[Conformance\]", help="a regular expression of the tests' names")
    add("--skip", default=NOT_BESIDE_OTHERS, help="the same; these are not run")
    add("--processes", type=int, default=4, help="tests at once (default: 4)")
    add("--timeout", default="2h", help="of each side's run (default: 2h)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (requirements.MissingRequirement, subprocess.CalledProcessError) as error:
        sys.exit(f"conformance: {error}")

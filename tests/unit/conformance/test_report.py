"""Two runs side by side."""

from pathlib import Path

from tests.conformance.report import only_in_tenant, text
from tests.conformance.suite import Outcome, Result, results

PASSED = Result(Outcome.PASSED, 1.0)
FAILED = Result(Outcome.FAILED, 1.0, "timed out\nmore of it")
SKIPPED = Result(Outcome.SKIPPED, 1.0, "needs two nodes")

JUNIT = """<testsuites><testsuite>
<testcase name="[It] [sig-a] passes" status="passed" time="2.5"></testcase>
<testcase name="[It] [sig-a] fails" status="failed" time="9"><failure>[FAILED] it broke
  somewhere</failure></testcase>
<testcase name="[It] [sig-a] was under way at the end" status="timedout" time="9"><failure/></testcase>
<testcase name="[It] [sig-a] does not apply" status="skipped" time="0.1">
  <skipped message="skipped - needs two nodes"/></testcase>
<testcase name="[It] [sig-a] was not selected" status="skipped" time="0">
  <skipped message="skipped"/></testcase>
<testcase name="[SynchronizedBeforeSuite]" status="passed" time="1"></testcase>
</testsuite></testsuites>"""


def test_a_report_has_the_tests_that_ran(tmp_path: Path) -> None:
    (tmp_path / "junit_01.xml").write_text(JUNIT)
    assert results(tmp_path) == {
        "[sig-a] passes": Result(Outcome.PASSED, 2.5),
        "[sig-a] fails": Result(Outcome.FAILED, 9.0, "it broke\n  somewhere"),
        "[sig-a] does not apply": Result(Outcome.SKIPPED, 0.1, "needs two nodes"),
    }


def test_what_passes_on_both_sides_is_only_counted() -> None:
    table = text({"a": PASSED, "b": PASSED, "c": SKIPPED}, {"a": PASSED, "b": FAILED})
    assert "| bare super cluster | 2 | 0 | 1 |" in table
    assert "| tenant | 1 | 1 | 0 |" in table
    assert "| b | passed | failed | timed out |" in table
    assert "| c | skipped | not run | needs two nodes |" in table
    assert "| a |" not in table


def test_only_what_passes_on_the_bare_super_cluster_is_held_against_the_tenant() -> None:
    bare = {"a": PASSED, "b": FAILED, "c": SKIPPED}
    tenant = {"a": FAILED, "b": FAILED, "c": FAILED, "d": FAILED}
    assert only_in_tenant(bare, tenant) == ["a"]

"""What is told while one waits for a tenant."""

from tests.unit.cli.builders import condition, ready_tenant, tenant
from vcluster.cli.progress import Stand, is_ready, news, story, stuck, verdict


def test_the_story_is_phase_and_conditions_without_what_is_not_reached() -> None:
    found = tenant(
        phase="Provisioning",
        conditions=[
            condition("SpecValid", "True"),
            condition("ControlPlaneReady", "False", "Starting", "kube-apiserver: refused"),
            condition("Bootstrapped", "Unknown", "Waiting", "Not reached yet"),
            condition("Ready", "False", "Starting"),
        ],
    )
    assert story(found) == {
        "Phase": Stand("Provisioning"),
        "SpecValid": Stand("done"),
        "ControlPlaneReady": Stand("Starting", "kube-apiserver: refused"),
    }


def test_news_are_told_once() -> None:
    before = {"Phase": Stand("Pending"), "SpecValid": Stand("done")}
    after = {"Phase": Stand("Ready"), "SpecValid": Stand("done"), "Syncing": Stand("done")}
    assert news(before, after, details=False) == ["Phase: Ready", "Syncing: done"]
    assert news(after, after, details=True) == []


def test_details_alone_are_told_only_when_asked_for() -> None:
    before, after = {"A": Stand("Starting", "1 of 9")}, {"A": Stand("Starting", "8 of 9")}
    assert news(before, after, details=False) == []
    assert news(before, after, details=True) == ["A: Starting: 8 of 9"]


def test_a_long_detail_is_cut() -> None:
    assert len(str(Stand("Starting", "x" * 500))) < 120


def test_ready_counts_only_for_the_generation_that_is_wanted() -> None:
    found = ready_tenant()
    assert is_ready(found)
    found["metadata"]["generation"] = 2
    assert not is_ready(found)
    assert not is_ready(tenant())


def test_the_verdict_is_the_message_of_what_is_wrong() -> None:
    wrong = condition("SpecValid", "False", "ClassNotFound", "spec.className: there is no 'x'")
    found = tenant(phase="Failed", observedGeneration=1, conditions=[wrong])
    assert verdict(found) == "spec.className: there is no 'x'"
    found["metadata"]["generation"] = 2  # corrected, and the operator has not seen it yet
    assert verdict(found) == ""
    assert verdict(tenant(phase="Provisioning")) == ""


def test_waiting_in_vain_says_for_what_and_what_to_look_at() -> None:
    ready = condition("Ready", "False", "Starting", "kube-apiserver: refused")
    failure = stuck(tenant(phase="Provisioning", conditions=[ready]), 90)
    assert failure.message == "tenant 'team-a' is not ready after 90 s: kube-apiserver: refused"
    assert "vc describe team-a -n tenants" in failure.hint
    assert "operator" in stuck(tenant(), 90).hint

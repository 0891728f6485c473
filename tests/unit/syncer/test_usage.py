"""Which pods use what, and who waits; nothing stays of what is gone."""

from hypothesis import given
from hypothesis import strategies as st

from kube.objects import ObjectKey
from syncer.kinds.pod_volumes import Reference
from syncer.runtime.workqueue import Request
from syncer.usage import Usage

ONE, TWO = ObjectKey("web", "one"), ObjectKey("web", "two")
SETTINGS = Reference("configmaps", "settings", optional=False)
PASSWORD = Reference("secrets", "password", optional=True)
REQUEST = Request("acme", "pods", "web", "one")


def used(reference: Reference, namespace: str = "web") -> tuple[str, ObjectKey]:
    return reference.kind, ObjectKey(namespace, reference.name)


def test_what_a_pod_names_is_in_use_until_its_last_user_has_gone() -> None:
    usage = Usage()
    usage.record(ONE, (SETTINGS, PASSWORD))
    usage.record(TWO, (SETTINGS,))
    assert usage.in_use(*used(SETTINGS))
    assert usage.drop(ONE) == [used(PASSWORD)]
    assert usage.in_use(*used(SETTINGS))
    assert usage.drop(TWO) == [used(SETTINGS)]
    assert not usage.in_use(*used(SETTINGS))
    assert usage.drop(TWO) == []


def test_names_are_those_of_one_namespace_and_one_kind() -> None:
    usage = Usage()
    usage.record(ONE, (SETTINGS,))
    assert not usage.in_use(*used(SETTINGS, "other"))
    assert not usage.in_use("secrets", ObjectKey("web", "settings"))


def test_a_pod_that_names_nothing_is_known_too() -> None:
    usage = Usage()
    assert not usage.knows(ONE)
    usage.record(ONE, ())
    assert usage.knows(ONE)
    assert usage.of(ONE) == ()


def test_what_a_pod_names_can_grow() -> None:
    usage = Usage()
    usage.record(ONE, (SETTINGS,))
    usage.record(ONE, (SETTINGS, PASSWORD))
    assert usage.of(ONE) == (SETTINGS, PASSWORD)
    assert set(usage.drop(ONE)) == {used(SETTINGS), used(PASSWORD)}


def test_pods_of_one_template_share_what_they_name() -> None:
    usage = Usage()
    for number in range(3):
        named = (Reference("configmaps", "settings", optional=bool(number < 0)),)
        usage.record(ObjectKey("web", f"pod-{number}"), named)
    assert usage.of(ObjectKey("web", "pod-0")) is usage.of(ObjectKey("web", "pod-2"))


def test_a_request_is_woken_once_by_what_it_waits_for() -> None:
    usage = Usage()
    usage.wait(*used(SETTINGS), REQUEST)
    assert usage.wake(*used(PASSWORD)) == set()
    assert usage.wake(*used(SETTINGS)) == {REQUEST}
    assert usage.wake(*used(SETTINGS)) == set()


def test_a_request_waits_for_one_thing_at_a_time() -> None:
    usage = Usage()
    usage.wait(*used(SETTINGS), REQUEST)
    usage.wait(*used(PASSWORD), REQUEST)
    assert usage.wake(*used(SETTINGS)) == set()
    assert usage.wake(*used(PASSWORD)) == {REQUEST}


def test_a_settled_request_is_not_woken() -> None:
    usage = Usage()
    usage.wait(*used(SETTINGS), REQUEST)
    usage.settle(REQUEST)
    usage.settle(REQUEST)
    assert usage.wake(*used(SETTINGS)) == set()


references = st.lists(
    st.builds(
        Reference, st.sampled_from(["configmaps", "secrets"]), st.sampled_from("abc"), st.booleans()
    ),
    max_size=3,
    unique_by=lambda one: (one.kind, one.name),
).map(tuple)
pods = st.sampled_from([ONE, TWO])


@given(steps=st.lists(st.tuples(pods, references, st.booleans()), max_size=20))
def test_in_use_is_what_the_pods_of_now_name(
    steps: list[tuple[ObjectKey, tuple[Reference, ...], bool]],
) -> None:
    usage, now = Usage(), dict[ObjectKey, tuple[Reference, ...]]()
    for pod, named, goes in steps:
        if goes:
            before = {used(one) for one in now.pop(pod, ())}
            kept = {used(one) for those in now.values() for one in those}
            assert set(usage.drop(pod)) == before - kept
        else:
            usage.record(pod, named)
            now[pod] = named
    assert set(usage.used()) == {used(one) for those in now.values() for one in those}


def test_pods_that_come_and_go_leave_nothing() -> None:
    """A tenant can name another secret in each of a million pods."""
    usage = Usage()
    for number in range(10):
        pod = ObjectKey("web", f"pod-{number}")
        named = Reference("secrets", f"secret-{number}", optional=False)
        usage.record(pod, (named,))
        usage.wait(*used(named), REQUEST._replace(name=pod.name))
        usage.settle(REQUEST._replace(name=pod.name))
        assert [usage.was_left(*left) for left in usage.drop(pod)] == [True]
    assert not usage.was_left(*used(named))
    assert [name for name, table in vars(usage).items() if table] == []

"""A host has one owner among all tenants."""

import pytest

from kube.objects import ObjectKey
from syncer.hosts import Holder, Hosts, overlap
from syncer.runtime.workqueue import Request


def request(tenant: str, name: str = "shop") -> Request:
    return Request(tenant, "ingresses", "web", name)


def key(tenant: str) -> ObjectKey:
    return ObjectKey(f"{tenant}-web", "shop")


def held(hosts: Hosts, tenant: str, *names: str, since: str = "1") -> set[Request]:
    return hosts.show(key(tenant), Holder(tenant, request(tenant), frozenset(names), (since, "u")))


def taken(hosts: Hosts, tenant: str, *names: str) -> str:
    return hosts.taken(tenant, key(tenant), request(tenant), frozenset(names))


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a.example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "b.a.example.com", True),
        ("*.example.com", "*.a.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "an-example.com", False),
        ("a.example.com", "b.example.com", False),
    ],
)
def test_hosts_meet_if_a_request_could_be_for_both(one: str, other: str, meet: bool) -> None:
    assert overlap({one}, {other}) is meet
    assert overlap({other}, {one}) is meet


def test_the_later_one_is_refused_and_woken_when_the_first_is_gone() -> None:
    hosts = Hosts()
    held(hosts, "a", "x.example.com")
    assert taken(hosts, "b", "y.example.com", "x.example.com") == "x.example.com"
    assert hosts.show(key("a"), None) == {request("b")}
    assert taken(hosts, "b", "x.example.com") == ""


def test_a_host_that_is_given_up_by_a_change_is_free() -> None:
    hosts = Hosts()
    held(hosts, "a", "x.example.com", "y.example.com")
    assert taken(hosts, "b", "x.example.com")
    assert held(hosts, "a", "y.example.com") == {request("b")}


def test_several_ingresses_of_one_tenant_share_a_host() -> None:
    hosts = Hosts()
    held(hosts, "a", "x.example.com")
    other = ObjectKey("a-web", "other")
    assert hosts.taken("a", other, request("a", "other"), frozenset({"x.example.com"})) == ""


def test_what_is_just_being_written_is_taken() -> None:
    hosts = Hosts()
    assert taken(hosts, "a", "x.example.com") == ""
    assert taken(hosts, "b", "x.example.com") == "x.example.com"
    hosts.release(key("a"))  # the write has failed
    assert taken(hosts, "b", "x.example.com") == ""


def test_of_two_that_hold_the_same_host_the_older_one_stays() -> None:
    hosts = Hosts()  # as another syncer's write may bring it about
    held(hosts, "a", "x.example.com", since="2")
    assert held(hosts, "b", "x.example.com", since="1") == {request("a"), request("b")}
    assert taken(hosts, "b", "x.example.com") == ""
    hosts.release(key("b"))
    assert taken(hosts, "a", "x.example.com") == "x.example.com"
    assert hosts.holds(key("a"), "x.example.com")


def test_an_old_ingress_does_not_get_a_host_by_a_change() -> None:
    hosts = Hosts()
    held(hosts, "a", "mine.example.com", since="1")
    held(hosts, "b", "x.example.com", since="2")
    assert taken(hosts, "a", "mine.example.com", "x.example.com") == "x.example.com"
    assert not hosts.holds(key("a"), "x.example.com")


def test_the_providers_hosts_are_the_providers() -> None:
    hosts = Hosts()
    held(hosts, "a", "x.example.com", since="1")
    assert held(hosts, "", "x.example.com", since="2") == {request("a"), request("")}
    assert taken(hosts, "a", "x.example.com") == "x.example.com"


def test_who_no_longer_waits_is_not_woken() -> None:
    hosts = Hosts()
    held(hosts, "a", "x.example.com")
    for tenant in ("b", "c"):
        assert taken(hosts, tenant, "x.example.com")
    hosts.forget(request("b"))
    hosts.forget_tenant("c")
    assert hosts.show(key("a"), None) == set()

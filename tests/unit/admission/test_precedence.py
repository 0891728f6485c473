"""Who may outrank whom, and what was promised."""

from kube.objects import ObjectKey
from syncer.admission.precedence import Nomination, Precedence

WEB = ObjectKey("default", "web")


def test_a_pod_outranks_what_was_seen_until_a_look_finds_it_gone() -> None:
    precedence = Precedence()
    assert not precedence.outranks(1000)
    precedence.seen(5)
    precedence.seen(7)
    assert precedence.outranks(6)
    assert not precedence.outranks(5)
    precedence.lowest_is(7)
    assert not precedence.outranks(6)
    precedence.lowest_is(None)
    assert not precedence.outranks(1000)


def test_what_was_promised_stands_until_it_is_settled() -> None:
    precedence = Precedence()
    precedence.nominate(WEB, Nomination("node-1", {"cpu": 1}))
    assert (precedence.looked(WEB), precedence.looked(WEB)) == (1, 2)
    assert list(precedence.nominations()) == [(WEB, Nomination("node-1", {"cpu": 1}))]
    precedence.settled(WEB)
    assert not list(precedence.nominations())
    assert precedence.looked(WEB) == 1

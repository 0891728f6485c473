"""Ingresses, downward, and their addresses, upward."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.ingress import INGRESS, admitted, hosts, patch, references, to_super, to_tenant
from syncer.kinds.mirror import Recreate, Refused, Write
from syncer.kinds.offers import Offers
from syncer.kinds.pod_volumes import Reference
from tests.unit.kinds.builders import ACME, live, metadata
from vcluster.sync import Sync

RULE = {"host": "shop.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix"}]}}
CERTIFICATE = {"hosts": ["shop.example.com"], "secretName": "shop-tls"}
OFFERS = Offers(ingress_classes=frozenset({"public", "fast"}), default_ingress_class="public")


def an_ingress(annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "metadata": metadata("shop", annotations=annotations or {}),
        "spec": {"ingressClassName": "public", "rules": [RULE], **spec},
        "status": {"loadBalancer": {}},
    }


def a_tenant(**sync: Any) -> Any:
    return msgspec.structs.replace(ACME, sync=Sync(ingresses=True, **sync))


def test_rules_backends_and_certificates_go_down_as_they_are() -> None:
    ingress = an_ingress(tls=[CERTIFICATE])
    assert to_super(ingress, ACME)["spec"] == ingress["spec"]


def test_only_tenants_with_the_option_have_them() -> None:
    assert not INGRESS.enabled(ACME)
    assert INGRESS.enabled(a_tenant())


def test_hosts_of_rules_and_of_certificates_are_asked_for() -> None:
    certificate = {"hosts": ["*.example.org"], "secretName": "x"}
    assert hosts(an_ingress(tls=[certificate])) == {"shop.example.com", "*.example.org"}


def test_the_secrets_of_its_certificates_go_down_for_it() -> None:
    tls = [CERTIFICATE, CERTIFICATE, {"hosts": ["b.example.com"]}]
    assert references(an_ingress(tls=tls), ACME) == (Reference("secrets", "shop-tls", True),)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"defaultBackend": {"service": {"name": "x"}}}, "spec.defaultBackend"),
        ({"rules": [RULE, {"http": {}}]}, "spec.rules[1].host"),
        ({"tls": [{"secretName": "x"}]}, "spec.tls[0].hosts"),
    ],
)
def test_what_would_serve_any_host_is_refused(spec: Object, field: str) -> None:
    with pytest.raises(Refused) as caught:
        to_super(an_ingress(**spec), ACME)
    assert (caught.value.field, caught.value.reason) == (field, "HostRequired")


@pytest.mark.parametrize(
    "key",
    [
        "kubernetes.io/ingress.class",
        "nginx.ingress.kubernetes.io/server-alias",
        "nginx.ingress.kubernetes.io/server-snippet",
        "external-dns.alpha.kubernetes.io/hostname",
    ],
)
def test_annotations_that_instruct_a_shared_controller_are_refused(key: str) -> None:
    with pytest.raises(Refused, match=key):
        to_super(an_ingress({key: "x"}), ACME)


@pytest.mark.parametrize(
    "key", ["note", "meta.helm.sh/release-name", "nginx.example.com/rewrite", "proxy.example.com/a"]
)
def test_harmless_and_allowed_annotations_pass(key: str) -> None:
    tenant = a_tenant(ingress_annotations=("nginx.example.com/rewrite", "proxy.example.com/*"))
    assert to_super(an_ingress({key: "x"}), tenant)["metadata"]["annotations"][key] == "x"


@pytest.mark.parametrize(("named", "given"), [("fast", "fast"), (None, "public"), ("", "public")])
def test_an_ingress_gets_an_offered_class(named: str | None, given: str) -> None:
    assert admitted(an_ingress(ingressClassName=named), OFFERS)["spec"]["ingressClassName"] == given


@pytest.mark.parametrize(
    ("named", "offers", "said"),
    [
        ("internal", OFFERS, "'internal' is not offered here; offered: fast, public"),
        (None, Offers(), "it names no class, and none is the default; offered: none"),
    ],
)
def test_any_other_class_is_refused(named: str | None, offers: Offers, said: str) -> None:
    with pytest.raises(Refused, match=said):
        admitted(an_ingress(ingressClassName=named), offers)


def test_a_tenants_own_list_narrows_what_is_public() -> None:
    with pytest.raises(Refused, match="'public' is not offered here; offered: fast"):
        to_super(an_ingress(), a_tenant(ingress_classes=("fast",)))


def test_another_class_is_admitted_anew() -> None:
    mirror = live(to_super(an_ingress(), ACME))
    with pytest.raises(Recreate, match=r"spec\.ingressClassName"):
        patch(mirror, to_super(an_ingress(ingressClassName="internal"), ACME))


def test_a_class_that_was_filled_in_below_stays() -> None:
    mirror = live(to_super(an_ingress(), ACME))
    unnamed = an_ingress()
    del unnamed["spec"]["ingressClassName"]
    changed = patch(mirror, to_super(unnamed, ACME)) or {}
    assert "spec" not in changed


def test_a_change_of_rules_is_a_small_patch() -> None:
    mirror = live(to_super(an_ingress(), ACME))
    rules = [RULE | {"host": "new.example.com"}]
    changed = patch(mirror, to_super(an_ingress(rules=rules), ACME)) or {}
    assert changed["spec"] == {"rules": rules}


def test_the_address_goes_up_once() -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}
    mirror = an_ingress() | {"status": status}
    assert to_tenant(mirror, an_ingress(), ACME) == [Write("status", {"status": status})]
    assert to_tenant(mirror, mirror, ACME) == []

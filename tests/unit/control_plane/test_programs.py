"""How the two programs of a control plane are rendered."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vcluster.control_plane.components import COMPONENTS
from vcluster.control_plane.credentials import complete
from vcluster.control_plane.plan import Plan
from vcluster.datastore.limits import Limits
from vcluster.pki.authority import CertificateAuthority, Validity
from vcluster.pki.certificates import control_plane_certificates
from vcluster.provisioners.process import digest
from vcluster.provisioners.workload import Placement, Workload

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ETCD = CertificateAuthority.create("etcd", Validity.lasting(timedelta(days=3650), NOW))
CREDENTIALS = complete(
    "team-a-1", (), control_plane_certificates("team-a-1", "10.112.3.1"), ETCD, NOW
)


def a_plan(now: datetime = NOW) -> Plan:
    return Plan(
        key="team-a-1",
        name="team-a",
        service_cidr="10.112.3.0/24",
        placement=Placement(
            Path("/state/team-a-1"),
            "127.0.0.1",
            {"kube-apiserver": 61001, "kube-controller-manager": 61002},
        ),
        credentials=complete(
            "team-a-1",
            (CREDENTIALS,),
            control_plane_certificates("team-a-1", "10.112.3.1"),
            ETCD,
            now,
        ),
        etcd_endpoints="https://127.0.0.1:2379",
        etcd_authority=ETCD.certificate,
        limits=Limits(100_000, 512 * 2**20, 512 * 2**20, 600.0),
    )


def test_it_connects_to_what_tenants_tell_it_through_the_proxy_only() -> None:
    workload = COMPONENTS[0].render(replace(a_plan(), egress_proxy=True))
    assert (
        "--egress-selector-config-file=/state/team-a-1/egress-selector.json" in workload.arguments
    )
    selector = json.loads(workload.files["egress-selector.json"])
    ways = {way["name"]: way["connection"] for way in selector["egressSelections"]}
    assert ways.keys() == {"cluster", "controlplane"}
    for way in ways.values():
        assert way["proxyProtocol"] == "HTTPConnect"
        assert way["transport"] == {"uds": {"udsName": "egress.sock"}}


def rendered(now: datetime = NOW) -> dict[str, Workload]:
    return {part.name: part.render(a_plan(now)) for part in COMPONENTS}


@pytest.mark.parametrize(
    "argument",
    [
        "--etcd-prefix=/team-a-1",
        "--etcd-compaction-interval=0",
        "--bind-address=127.0.0.1",
        "--service-cluster-ip-range=10.112.3.0/24",
        "--profiling=false",
        "--service-account-jwks-uri=https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
    ],
)
def test_the_api_server_is_slim_and_keeps_to_itself(argument: str) -> None:
    assert argument in rendered()["kube-apiserver"].arguments


def test_the_super_clusters_work_is_not_done_twice() -> None:
    [controllers] = [
        argument
        for argument in rendered()["kube-controller-manager"].arguments
        if argument.startswith("--controllers=")
    ]
    assert controllers.startswith("--controllers=*,-")
    assert "-node-lifecycle-controller" in controllers
    assert "pod-garbage-collector" not in controllers


def test_every_file_named_in_a_command_line_is_placed() -> None:
    for workload in rendered().values():
        named = {
            argument.partition("=")[2].removeprefix("/state/team-a-1/")
            for argument in workload.arguments
            if "=/state/team-a-1/" in argument and "/logs/" not in argument
        }
        assert named <= set(workload.files), workload.name


def test_no_secret_is_in_a_command_line_or_environment() -> None:
    for workload in rendered().values():
        text = " ".join([*workload.arguments, *workload.environment.values()])
        assert "PRIVATE" not in text
        assert "BEGIN" not in text


def test_renewed_certificates_restart_no_api_server() -> None:
    before, after = rendered(), rendered(NOW + timedelta(days=250))
    one, other = before["kube-apiserver"], after["kube-apiserver"]
    assert one.files != other.files
    assert digest(one.restarted_by) == digest(other.restarted_by)


def test_a_new_client_certificate_restarts_the_controller_manager() -> None:
    before, after = rendered(), rendered(NOW + timedelta(days=250))
    one, other = before["kube-controller-manager"], after["kube-controller-manager"]
    assert digest(one.restarted_by) != digest(other.restarted_by)

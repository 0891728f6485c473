"""Certificates that a container reads, of signers that run in its tenant."""

import json
import os
import signal
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e_real.containers import container_pod, is_ready
from tests.signer import NAME, PATH_ANNOTATION, Signer, identity_of, refused
from vcluster import api

FILES, GROUP = "/tls", 2000
TRUST = NAME.replace("/", ":") + ":roots"
LONG_AGO = "2026-01-01T00:00:00Z"
REQUESTS = "podcertificaterequests"


@pytest.fixture(scope="module")
def authority(team_a: TenantCluster) -> Iterator[Signer]:
    """A signer of team-a's, whose authority the tenant's pods can mount."""
    signer = Signer()
    roots = signer.authority.public_bytes(Encoding.PEM).decode()
    bundle = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "ClusterTrustBundle",
        "metadata": {"name": TRUST},
        "spec": {"signerName": NAME, "trustBundle": roots},
    }
    team_a.apply(bundle)
    yield signer
    team_a.kubectl("delete", "clustertrustbundle", TRUST)


@pytest.fixture
def tenant(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a; the pods that a test makes go when it ends."""
    yield team_a
    team_a.kubectl("delete", "pods", "-l", "asks", "--grace-period=1")


def asking_pod(name: str, **fields: object) -> Object:
    """A pod that mounts a certificate and the authorities of its signer."""
    asked = {"signerName": NAME, "keyType": "ECDSAP256", "credentialBundlePath": "bundle.pem"}
    roots = {"signerName": NAME, "labelSelector": {}, "path": "roots.pem"}
    sources = [{"clusterTrustBundle": roots}, {"podCertificate": asked | fields}]
    wanted = container_pod(
        name,
        "exec sleep 100000",
        securityContext={"fsGroup": GROUP},
        volumes=[{"name": "tls", "projected": {"sources": sources}}],
    )
    wanted["metadata"]["labels"]["asks"] = "yes"
    mount = {"name": "tls", "mountPath": FILES}
    wanted["spec"]["containers"][0]["volumeMounts"] = [mount]
    return wanted


def waiting_request(tenant: TenantCluster, pod: str) -> Object | None:
    """The newest request for a pod, if nobody has answered it."""
    found = [one for one in tenant.items(REQUESTS) if one["spec"]["podName"] == pod]
    found.sort(key=lambda one: int(one["metadata"]["resourceVersion"]))
    return found[-1] if found and not found[-1].get("status") else None


def answer(tenant: TenantCluster, request: Object, status: Object) -> None:
    """Do what a signer does."""
    patch = json.dumps({"status": status})
    name = request["metadata"]["name"]
    tenant.kubectl("patch", REQUESTS, name, "--subresource=status", "--type=merge", "-p", patch)


def read(tenant: TenantCluster, pod: str, name: str) -> str:
    """A file of the pod's volume."""
    return tenant.kubectl("exec", pod, "--", "cat", f"{FILES}/{name}")


def secret_of(local: LocalSystem, tenant: TenantCluster, pod: str) -> Object | None:
    """The super Secret with a pod's certificates."""
    found = local.super.items("secrets", "-n", tenant.super_namespace())
    return next(
        (
            one
            for one in found
            if one["metadata"]["name"].startswith("virtualcluster-certificate-")
            and one["metadata"]["annotations"][api.NAME_ANNOTATION] == pod
        ),
        None,
    )


def test_a_container_reads_its_key_and_certificate_and_they_go_with_its_pod(
    local: LocalSystem, tenant: TenantCluster, authority: Signer
) -> None:
    tenant.apply(asking_pod("certified", userAnnotations={PATH_ANNOTATION: "/of/mine"}))
    request = wait_for("it is asked for", lambda: waiting_request(tenant, "certified"))
    pod, node = tenant.get("pod", "certified"), request["spec"]["nodeName"]
    assert pod is not None
    assert pod["spec"]["nodeName"] == node
    assert pod["metadata"]["uid"] == request["spec"]["podUID"]
    shown = tenant.get("node", node)
    assert shown is not None
    assert shown["metadata"]["uid"] == request["spec"]["nodeUID"]
    answer(tenant, request, authority.issued(request))
    start = time.monotonic()
    wait_for("it runs", lambda: is_ready(tenant, "certified"))
    print(f"the pod was Ready {time.monotonic() - start:.1f} s after its signer's answer")
    bundle, roots = read(tenant, "certified", "bundle.pem"), read(tenant, "certified", "roots.pem")
    assert identity_of(bundle) == "spiffe://cluster.local/of/mine"
    leaf = x509.load_pem_x509_certificates(bundle.encode())[0]
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(roots.encode()))
    key = load_pem_private_key(bundle.encode(), None)
    assert leaf.public_key() == key.public_key()
    file = f"{FILES}/bundle.pem"
    said = tenant.kubectl("exec", "certified", "--", "stat", "-L", "-c", "%a %g", file)
    assert said == f"640 {GROUP}\n"
    assert not local.super.items(REQUESTS, "-A"), "the super cluster was not asked"
    assert secret_of(local, tenant, "certified")
    tenant.kubectl("delete", "pod", "certified")
    wait_for("the key is gone", lambda: not secret_of(local, tenant, "certified"))
    wait_for(
        "the request is gone",
        lambda: all(one["spec"]["podName"] != "certified" for one in tenant.items(REQUESTS)),
    )


def test_a_pod_that_its_signer_refuses_is_told_so_and_does_not_start(
    tenant: TenantCluster, authority: Signer
) -> None:
    tenant.apply(asking_pod("refused"))
    request = wait_for("it is asked for", lambda: waiting_request(tenant, "refused"))

    def told(reason: str, text: str) -> Object | None:
        events = tenant.events("refused")
        return next((e for e in events if e["reason"] == reason and text in e["message"]), None)

    wait_for("the wait is told", lambda: told("FailedMount", "credential bundle is not issued yet"))
    answer(tenant, request, refused("Denied", "NotYou", "not for this pod"))
    wait_for("the refusal is told", lambda: told("Denied", 'message="not for this pod"'))
    texts = [event["message"] for event in tenant.events("refused")]
    assert not [text for text in texts if "virtualcluster-" in text or tenant.key in text]
    assert not is_ready(tenant, "refused")


def test_a_syncer_that_dies_forgets_what_it_asked_and_keeps_what_was_issued(
    local: LocalSystem, tenant: TenantCluster, authority: Signer
) -> None:
    tenant.apply(asking_pod("patient", keyType="RSA3072"))
    first = wait_for("it is asked for", lambda: waiting_request(tenant, "patient"))
    kill(local)

    def second() -> Object | None:
        found = waiting_request(tenant, "patient")
        return found if found and found["metadata"]["uid"] != first["metadata"]["uid"] else None

    request = wait_for("it is asked for again", second)
    answer(tenant, request, authority.issued(request))
    wait_for("it runs", lambda: is_ready(tenant, "patient"))
    before = read(tenant, "patient", "bundle.pem")
    secret = secret_of(local, tenant, "patient")
    assert secret is not None
    data = secret["data"]
    [times] = [name for name in data if name.endswith(".times")]
    end = b64decode(data[times]).decode().split()[1]
    metadata = {"annotations": {api.EXPIRES_ANNOTATION: LONG_AGO}}
    late = {times: b64encode(f"{LONG_AGO} {end}".encode()).decode()}
    patch = json.dumps({"metadata": metadata, "data": late})
    name, namespace = secret["metadata"]["name"], tenant.super_namespace()
    kill(local, lambda: local.super.kubectl("patch", "secret", name, "-n", namespace, "-p", patch))
    request = wait_for("it is renewed", lambda: waiting_request(tenant, "patient"))
    assert read(tenant, "patient", "bundle.pem") == before
    answer(tenant, request, authority.issued(request))
    # Kubelets look at volumes once a minute, and when the pod changes.

    def is_below() -> bool:
        found = secret_of(local, tenant, "patient")
        return found is not None and found["data"] != data | late

    wait_for("the new one is below", is_below)
    tenant.kubectl("annotate", "pod", "patient", "look=again")
    wait_for("the container has it", lambda: read(tenant, "patient", "bundle.pem") != before, 240)


def kill(local: LocalSystem, meanwhile: Callable[[], object] = lambda: None) -> None:
    """The syncer ends without notice, and is started again."""
    # Zero, of one that is between two lives, would mean all of us.
    pid = wait_for("the syncer runs", lambda: local.pid("super", "syncer"))
    os.kill(pid, signal.SIGSTOP)
    try:
        meanwhile()
    finally:
        os.kill(pid, signal.SIGKILL)

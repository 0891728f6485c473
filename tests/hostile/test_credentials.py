"""A tenant's credentials are of no use anywhere else."""

import base64
import json
import subprocess
import time
from functools import partial

import psutil
import pytest

from tests.chaos.datastore import etcdctl as as_root
from tests.chaos.datastore import newest_revision
from tests.e2e.local_system import LocalSystem, TenantCluster

FOREIGN = ("Unauthorized", "provide credentials", "logged in", "forbidden", "certificate")


@pytest.fixture(scope="module")
def endpoint(local: LocalSystem) -> str:
    """Where the shared etcd listens."""
    etcd = psutil.Process(local.pid("super", "etcd")).cmdline()
    flag = "--listen-client-urls="
    return next(item.removeprefix(flag) for item in etcd if item.startswith(flag))


def etcdctl(local: LocalSystem, tenant: TenantCluster, endpoint: str, *arguments: str) -> str:
    """What etcd answers to the tenant's certificate."""
    pki = local.state_directory / "tenants" / tenant.key / "pki"
    files = {"cacert": "etcd-ca.crt", "cert": "etcd-client.crt", "key": "etcd-client.key"}
    done = subprocess.run(
        [
            str(local.state_directory / "bin/etcdctl"),
            f"--endpoints={endpoint}",
            "--command-timeout=60s",  # an answer that comes late is an answer
            "--dial-timeout=60s",
            *(f"--{option}={pki / name}" for option, name in files.items()),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    return done.stdout + done.stderr


def test_its_etcd_certificate_ends_at_its_prefix(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster, endpoint: str
) -> None:
    """The tenant does not hold it, but its API server does, which it can attack."""
    ask = partial(etcdctl, local, mallory, endpoint)
    assert f"/{mallory.key}/" in ask("get", f"/{mallory.key}/", "--prefix", "--keys-only")
    for prefix in (f"/{alice.key}/", "/super/", "/", f"/{mallory.key[:-1]}", ""):
        for verb in ("get", "del"):
            assert "permission denied" in ask(verb, prefix, "--prefix"), (verb, prefix)
    for arguments in (
        ("put", f"/{alice.key}/x", "y"),
        ("user", "list"),
        ("role", "grant-permission", mallory.key, "readwrite", "/"),
        ("snapshot", "save", "/dev/null"),
        # A revision that could be compacted: nobody else's watch may lose its place by it.
        ("compact", newest_revision(local)),
        ("lease", "revoke", lease_of(local, f"/{alice.key}/leased")),
    ):
        answer = ask(*arguments)
        assert "permission denied" in answer, (arguments, answer)
    as_root(local, "del", f"/{alice.key}/leased")


def lease_of(local: LocalSystem, key: str) -> str:
    """A lease that ends with its key, as those of Events do; anybody may list leases."""
    lease = as_root(local, "lease", "grant", "600").split()[1]
    as_root(local, "put", f"--lease={lease}", key, "")
    return lease


def test_its_identities_mean_nothing_elsewhere(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """Not even if they are named as the super cluster's own."""
    mallory.kubectl("create", "namespace", "virtualcluster-system")
    account = ("syncer", "-n", "virtualcluster-system")
    mallory.kubectl("create", "serviceaccount", *account)
    token = mallory.kubectl("create", "token", *account).strip()
    nobody = "--kubeconfig=/dev/null"
    for other in (alice, local.super):
        view = ("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
        ask = (
            f"--server={other.kubectl(*view)}",
            "--insecure-skip-tls-verify",
            "get",
            "secrets",
            "-A",
        )
        for credentials in (
            (nobody, f"--token={token}"),
            (f"--kubeconfig={mallory.kubeconfig}",),
            (nobody, *signed(local, mallory)),
        ):
            answer = mallory.kubectl(*credentials, *ask, check=False)
            assert any(word in answer for word in FOREIGN), answer
            assert "NAMESPACE" not in answer
    mallory.kubectl("delete", "namespace", "virtualcluster-system", "--wait=false")


def signed(local: LocalSystem, mallory: TenantCluster) -> list[str]:
    """A certificate of the tenant's own authority for system:masters' name of the syncer."""
    directory = local.state_directory / "hostile"
    directory.mkdir(mode=0o700, exist_ok=True)
    key, request = directory / "forged.key", directory / "forged.csr"
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", str(key), "-out", str(request),
         "-subj", "/O=virtualcluster:syncers/CN=virtualcluster:super-syncer"],
        check=True, capture_output=True, timeout=150,
    )  # fmt: skip
    mallory.apply(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "forged"},
            "spec": {
                "request": base64.b64encode(request.read_bytes()).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
    )
    mallory.kubectl("certificate", "approve", "forged")
    deadline = time.monotonic() + 20
    certificate = ""
    while not certificate and time.monotonic() < deadline:
        found = json.loads(mallory.kubectl("get", "csr", "forged", "-o", "json"))
        certificate = found["status"].get("certificate", "")
    mallory.kubectl("delete", "csr", "forged")
    if not certificate:
        pytest.skip("the tenant's control plane signs no client certificates")
    path = directory / "forged.crt"
    path.write_bytes(base64.b64decode(certificate))
    return [f"--client-certificate={path}", f"--client-key={key}"]

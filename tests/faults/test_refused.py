"""A webhook in the super cluster that is away, or hangs, when the syncer writes for one tenant."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from tests.bench.percentiles import p99
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.pace import NOISE_SECONDS, paced
from tests.e2e.local_system import TenantCluster, wait_for
from tests.faults import records
from tests.faults.proxy import ADDRESS
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from tests.faults.watched import metered, undisturbed
from vcluster import api

NAME = "in-the-way"


@pytest.mark.parametrize("manner", ["cannot be reached", "hangs"])
async def test_a_webhook_of_the_super_cluster_stops_only_whom_it_is_about(
    system: FaultSystem, victims: list[TenantCluster], beside: TenantCluster, manner: str
) -> None:
    tenant = victims[0]
    async with undisturbed(system, tenant, beside) as (client, other):
        alone = await paced(other, "alone")
        async with metered(system) as meter:
            with webhook(system, tenant, manner):
                start = monotonic()
                for number in range(30):
                    await load.create(client, f"refused-{number}", {})
                found = await paced(other, "beside")
                told = _told(tenant) if manner != "hangs" else "the calls time out"
                lasted, end = monotonic() - start, monotonic()
            await both_sides_agree(system.local, tenant, beside)
            recovered = monotonic() - end
        alone += await paced(other, "again")
    records.write(
        Record(
            group="the super cluster",
            fault=f"a webhook for one tenant's pods {manner}",
            seen=f"{told}; a neighbour's p99 {p99(found):.2f} s (before and after: {p99(alone):.2f} s); "
            f"{meter}",
            lasted=lasted,
            recovered=recovered,
        )
    )
    assert p99(found) <= 1.2 * p99(alone) + NOISE_SECONDS
    meter.check()


@contextmanager
def webhook(system: FaultSystem, tenant: TenantCluster, manner: str) -> Iterator[None]:
    """For the creation of the tenant's pods; nothing answers at its address, or nobody listens."""
    with socket.create_server((ADDRESS, 0)) as silent:
        port = silent.getsockname()[1] if manner == "hangs" else 1
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
        system.local.super.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": NAME},
                "webhooks": [
                    {
                        "name": "in.the.way",
                        "clientConfig": {"url": f"https://{ADDRESS}:{port}/"},
                        "rules": [rule | {"resources": ["pods"]}],
                        "namespaceSelector": {"matchLabels": {api.TENANT_LABEL: tenant.key}},
                        "failurePolicy": "Fail",
                        "timeoutSeconds": 30,
                        "sideEffects": "None",
                        "admissionReviewVersions": ["v1"],
                    }
                ],
            }
        )
        try:
            yield
        finally:
            system.local.super.kubectl("delete", "validatingwebhookconfiguration", NAME)


def _told(tenant: TenantCluster) -> str:
    """What an Event says to the tenant about one of its pods."""
    message: str = wait_for(
        "the tenant is told",
        lambda: next(
            (event["message"] for event in tenant.events("refused-0", load.NAMESPACE)), None
        ),
    )
    return f"the tenant is told “{message[:80]}…”".replace("|", "")

"""kopf's handlers: thin. What happens to a tenant is in control_plane/reconcile.py and teardown.py."""

from typing import Any

import kopf

from vcluster import api
from vcluster.operator.connection import connection
from vcluster.operator.settings import Settings
from vcluster.operator.tenants import EXPECTED, Tenants

AGAIN_SECONDS = 1.0

KIND = (api.GROUP, api.VERSION, api.VIRTUAL_CLUSTER_PLURAL)


async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """What kopf keeps at the objects, under our own prefix."""
    settings.posting.enabled = False  # the operator posts its own Events
    settings.persistence.finalizer = f"{api.PREFIX}operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=api.GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=api.GROUP)


def register(registry: kopf.OperatorRegistry, settings: Settings, tenants: Tenants) -> None:
    """Add the handlers to kopf's registry."""
    super_kubeconfig = settings.super_kubeconfig

    kopf.on.startup(registry=registry)(configure)

    @kopf.on.login(registry=registry)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
        return connection(super_kubeconfig, settings)

    @kopf.on.create(*KIND, registry=registry)
    @kopf.on.update(*KIND, registry=registry)
    @kopf.on.resume(*KIND, registry=registry)
    async def reconcile(namespace: str | None, name: str, uid: str, **_: Any) -> None:
        try:
            await tenants.reconcile(namespace or "", name, uid)
        except EXPECTED as error:
            raise kopf.TemporaryError(str(error), delay=AGAIN_SECONDS) from error

    @kopf.timer(
        *KIND,
        registry=registry,
        interval=settings.resync_seconds,
        initial_delay=settings.resync_seconds,
    )
    async def resync(namespace: str | None, name: str, uid: str, **_: Any) -> None:
        try:
            await tenants.reconcile_if_idle(namespace or "", name, uid)
        except EXPECTED as error:
            raise kopf.TemporaryError(str(error), delay=AGAIN_SECONDS) from error

    @kopf.on.delete(*KIND, registry=registry)
    async def remove(namespace: str | None, name: str, uid: str, **_: Any) -> None:
        try:
            remaining = await tenants.teardown(namespace or "", name, uid)
        except EXPECTED as error:
            raise kopf.TemporaryError(str(error), delay=AGAIN_SECONDS) from error
        if remaining:
            raise kopf.TemporaryError(f"waits for {', '.join(remaining)}", delay=AGAIN_SECONDS)

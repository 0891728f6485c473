"""What a tenant's pods hold, of its quota and of its own resources, counted when its session begins."""

from collections.abc import AsyncIterator

import msgspec
import structlog

from kube.client import Client
from kube.objects import Object, ObjectKey, decode_object
from kube.resources import PODS
from syncer.admission.ledger import Item
from syncer.counted import count
from syncer.super_state import TOKEN_COMPONENT
from syncer.tenant_state import TenantState
from vcluster import api

log = structlog.get_logger(__name__)


async def take_stock(state: TenantState) -> None:
    """Fill the tenant's ledger; nothing that is limited goes down before. Raises ApiError, Unreachable.

    The list is read after the ledger was opened, so what changes meanwhile is told by the watch.
    """
    super_state = state.super
    ledger = super_state.admission.ledgers.get(state.tenant.key)
    if ledger is None:
        return
    await _pods(state)
    there = {Item(PODS.plural, key) for key in super_state.pods.keys()}
    for plural, store in super_state.mirrors.items():
        for key, entry in store.items():
            if entry.tenant == state.tenant.key and entry.component != TOKEN_COMPONENT:
                count(super_state, entry.tenant, plural, key, entry)
                there.add(Item(plural, key))
    for item in ledger.charged():
        if item not in there:
            ledger.observe(item, None)
    super_state.admission.known(state.tenant.key)
    log.info("quota known", tenant=state.tenant.key, items=len(ledger.charged()))


async def take_stock_of_own(state: TenantState) -> None:
    """Count what the tenant's pods hold of the resources that it gave to its nodes itself.

    Nothing is read where there are none. Raises ApiError, Unreachable.
    """
    if not state.own_nodes.room.nodes():
        return
    selector = f"{api.TENANT_LABEL}={state.tenant.key}"
    mirrors = {}
    async for pod in _all_pods(state.super.client, selector):
        marks = pod["metadata"].get("annotations") or {}
        if not pod["spec"].get("nodeName"):
            mirrors[marks.get(api.UID_ANNOTATION)] = pod
    async for pod in _all_pods(state.client):
        metadata = pod["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        known = state.pods.get(key)
        if known is not None and known.uid == metadata["uid"] and not known.finished:
            state.own_nodes.found(key, pod, known.node, mirrors.get(known.uid))


async def _all_pods(client: Client, selector: str = "") -> AsyncIterator[Object]:
    async for page in client.pages(PODS, label_selector=selector):
        for item in page.items or ():
            yield decode_object(bytes(item))


async def _pods(state: TenantState) -> None:
    super_state = state.super
    selector = f"{api.TENANT_LABEL}={state.tenant.key}"
    version = 0
    async for page in super_state.client.pages(PODS, label_selector=selector):
        version = version or int(page.metadata.resource_version)
        for item in page.items or ():
            raw = bytes(item)
            try:
                with super_state.history.listed():
                    key = super_state.pods.upsert(raw, listed=version)
                listed = super_state.pods.read(raw)
            except (msgspec.MsgspecError, ValueError):
                log.exception("object set aside")
                continue
            pod = super_state.pods.get(key)
            if pod is not None and pod.version == listed.version:
                super_state.admission.super_pod(key, None, pod, raw)

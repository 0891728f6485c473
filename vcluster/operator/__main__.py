"""`python -m vcluster.operator`: start here."""

import asyncio
import gc
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import kopf
import msgspec
import structlog

from vcluster.assets import templates_directory
from vcluster.control_plane import full_datastore
from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.manifests import Manifests
from vcluster.control_plane.reconcile import Provider
from vcluster.datastore.limits import Standing
from vcluster.datastore.shared import SharedDatastore
from vcluster.datastore.shares import Shares
from vcluster.operator import logs
from vcluster.operator.handlers import register
from vcluster.operator.health import health_server
from vcluster.operator.settings import PREFIX, Settings
from vcluster.operator.tenants import Tenants
from vcluster.provisioners.process import ProcessProvisioner

log = structlog.get_logger()

REQUIRED = ("state_directory", "binaries_directory", "etcd_endpoints", "etcd_ca_directory")


async def run(settings: Settings) -> None:
    """Turn VirtualClusters into control planes until SIGTERM or SIGINT."""
    cluster = Cluster.from_kubeconfig(settings.super_kubeconfig)
    offered = provider(settings, cluster)
    tenants = Tenants(offered)
    registry = kopf.OperatorRegistry()
    register(registry, settings, tenants)
    started = asyncio.Event()
    async with health_server(settings, cluster, offered.shares, started) as port:
        log.info("operator started", port=port)
        gc.freeze()  # what was imported lives for ever, and need not be looked at again
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(
                    kopf.operator(
                        registry=registry, clusterwide=True, standalone=True, ready_flag=started
                    )
                )
                beside = (
                    tasks.create_task(_take_signals(started, running, tenants)),
                    tasks.create_task(offered.shares.run(tenants.level_changed)),
                    tasks.create_task(tenants.tell_levels()),
                )
                running.add_done_callback(lambda _: [task.cancel() for task in beside])
        finally:
            await asyncio.to_thread(tenants.close)
    cluster.close()


async def _take_signals(
    started: asyncio.Event, running: asyncio.Task[None], tenants: Tenants
) -> None:
    """Let a signal cut everything off: passes may be, and kopf's own handler takes 7 seconds.

    That one is in place when kopf says that it has started, so this one comes afterwards.
    """
    await started.wait()

    def end() -> None:
        log.info("operator ends")
        tenants.stop()
        running.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)


def provider(settings: Settings, cluster: Cluster) -> Provider:
    """What the settings offer to tenants."""
    binaries = Path(settings.binaries_directory)
    datastore = SharedDatastore(
        binaries / "etcdctl", settings.etcd_endpoints, Path(settings.etcd_ca_directory)
    )
    provisioner = ProcessProvisioner(Path(settings.state_directory), binaries)

    def switch(key: str, standing: Standing) -> None:
        provisioner.put(key, full_datastore.SWITCH_FILE, full_datastore.switch(standing))

    return Provider(
        cluster=cluster,
        datastore=datastore,
        shares=Shares(datastore.credentials, switch),
        provisioner=provisioner,
        manifests=Manifests(templates_directory()),
        executor=ThreadPoolExecutor(8, "step"),
        service_pool=settings.service_pool,
        gateway_address=settings.gateway_address,
        stopping=Event(),
        node_agent_authority=(
            Path(settings.node_agent_ca).read_bytes() if settings.node_agent_ca else b""
        ),
        egress_proxy=settings.egress_proxy,
        history_seconds=settings.etcd_history_seconds,
    )


def main() -> None:
    """Read the environment, once, and run."""
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_level)
    except (msgspec.ValidationError, ValueError) as error:
        sys.exit(f"operator: {error}")
    missing = [f"{PREFIX}{name.upper()}" for name in REQUIRED if not getattr(settings, name)]
    if missing:
        sys.exit(f"operator: set {', '.join(missing)}")
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()

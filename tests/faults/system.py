"""A whole local system whose API servers are behind proxies, as the syncer sees them."""

import base64
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.chaos.faults import SYNCER, Component, api_server
from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.faults.proxy import ADDRESS, WELL, Behaviour, Proxy, ProxyThread
from vcluster import api
from vcluster.local.components import GROUP
from vcluster.local.state import State
from vcluster.supervision import Supervisor

START_SECONDS = 150.0
"""A controller-manager ends by itself while its API server is away, and its supervisor then waits."""


class FaultSystem:
    """The system, its tenants by name, and the proxies between them and the syncer."""

    def __init__(self, directory: Path) -> None:
        self.local = LocalSystem(directory)
        self.state = State(directory)
        self.supervisor = Supervisor(self.state.supervisor_directory)
        self.proxies = ProxyThread()
        self.tenants: dict[str, TenantCluster] = {}
        self._in_front: dict[str, Proxy] = {}
        """By tenant name; the super cluster's is named ``super``."""

    def start(self, names: list[str]) -> None:
        """A fresh system with these tenants. What a killed run left behind is removed first."""
        self.local.purge()
        self.local.vc("up", "--cpu-nodes", "12", "--gpu-nodes", "0", "--pod-start-delay", "0.2")
        with ThreadPoolExecutor(3) as several:
            tenants = several.map(self.local.create_tenant, names)
        self.tenants = dict(zip(names, tenants, strict=True))

    def put_proxies_in_front(self) -> None:
        """The syncer reaches every API server through a proxy from now on.

        The operator would undo that, so it is stopped; ``vc up`` starts it again.
        """
        self.supervisor.stop(GROUP, "operator")
        for name, tenant in self.tenants.items():
            self._redirect(name, tenant)
        path = self.state.super_kubeconfig("syncer")
        path.write_text(self._through_proxy("super", path.read_text()))
        self.restart(SYNCER)
        self.wait_until_in_step()

    def remove_proxies(self) -> None:
        """The reverse: operator and ``vc up`` write their own kubeconfigs again."""
        self.state.super_kubeconfig("syncer").unlink()
        self.local.vc("up")
        self.restart(SYNCER)
        ports = [f":{proxy.port}" for proxy in self._in_front.values()]
        wait_for(
            "the operator has put the kubeconfigs back",
            lambda: (
                not any(
                    port in self._kubeconfig(t) for t in self.tenants.values() for port in ports
                )
            ),
        )
        self.wait_until_in_step()

    def behave(self, name: str, behaviour: Behaviour) -> None:
        """Of the proxy in front of a tenant, or of ``super``."""
        self.proxies.behave(self._in_front[name], behaviour)

    @contextmanager
    def behaving(self, name: str, behaviour: Behaviour) -> Iterator[None]:
        """The same for a while."""
        self.behave(name, behaviour)
        try:
            yield
        finally:
            self.behave(name, WELL)

    def restart(self, *components: Component) -> None:
        """kill -9, and wait until the supervisor has started them again."""
        pids = {component: self.pid(component) for component in components}
        for pid in filter(None, pids.values()):  # one that is down is started anyway
            os.kill(pid, signal.SIGKILL)
        for component, pid in pids.items():
            wait_for(
                f"{component} is started again",
                lambda one=component, before=pid: self.pid(one) not in (0, before),  # type: ignore[misc]
                START_SECONDS,
            )

    def pid(self, component: Component) -> int:
        """Its process; 0 while it is down. Quicker than ``vc status``."""
        statuses = self.supervisor.statuses(component.group)
        return next((one.pid or 0 for one in statuses if one.name == component.name), 0)

    def api_servers(self) -> list[Component]:
        """Of all tenants."""
        return [api_server(tenant.key) for tenant in self.tenants.values()]

    def wait_until_in_step(self, seconds: float = 120.0) -> None:
        """All tenants are mirrored, as the syncer itself says."""

        def in_step() -> bool:
            found = self.metrics()
            return all(
                found.get(f'syncer_tenant_synced{{tenant="{tenant.key}"}}') == 1
                for tenant in self.tenants.values()
            )

        wait_for("the syncer is in step", in_step, seconds)

    def metrics(self) -> dict[str, float]:
        """The samples of the syncer's /metrics by name and labels; empty while it does not answer."""
        try:
            port = int((self.local.state_directory / "syncer.port").read_text())
            with urllib.request.urlopen(f"http://{ADDRESS}:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (OSError, ValueError):
            return {}
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def close(self) -> None:
        """Stop and delete everything."""
        self.proxies.close()
        if not os.environ.get("CHAOS_KEEP"):
            self.local.purge()

    def _redirect(self, name: str, tenant: TenantCluster) -> None:
        kubeconfig = self._through_proxy(name, self._kubeconfig(tenant)).encode()
        data = {api.KUBECONFIG_KEY: base64.b64encode(kubeconfig).decode()}
        secret = ("secret", api.SYNCER_KUBECONFIG_SECRET, "-n", tenant.key)
        self.local.super.kubectl("patch", *secret, "-p", json.dumps({"data": data}))

    def _kubeconfig(self, tenant: TenantCluster) -> str:
        secret = self.local.super.get("secret", api.SYNCER_KUBECONFIG_SECRET, tenant.key)
        assert secret is not None
        return base64.b64decode(secret["data"][api.KUBECONFIG_KEY]).decode()

    def _through_proxy(self, name: str, kubeconfig: str) -> str:
        config = yaml.safe_load(kubeconfig)
        cluster = config["clusters"][0]["cluster"]
        if name not in self._in_front:
            self._in_front[name] = self.proxies.add(int(cluster["server"].rsplit(":", 1)[1]))
        cluster["server"] = f"https://{ADDRESS}:{self._in_front[name].port}"
        authorities = base64.b64decode(cluster["certificate-authority-data"])
        authorities += self.proxies.authority.certificate
        cluster["certificate-authority-data"] = base64.b64encode(authorities).decode()
        return yaml.safe_dump(config)

"""Bring the local super cluster up: every step may be repeated, and none is done in vain."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from vcluster.binaries import REAL_NODE_NAMES
from vcluster.control_plane.cluster import ApiError, Cluster, Unreachable
from vcluster.local import components, configuration, credentials, datastore, machine, objects
from vcluster.local.options import Options
from vcluster.local.programs import assemble_programs
from vcluster.local.real_nodes import bring_up, leftovers, requirements
from vcluster.local.state import ADDRESS, State, StateError
from vcluster.supervision import Supervisor

Report = Callable[[str], None]
"""Told what was reached, in one line."""

POLL_SECONDS = 0.1
READY_SECONDS = 120.0


class NotReady(Exception):
    """Something did not become ready in time; says what, and where to look."""


def up(state: State, given: dict[str, Any], report: Report) -> None:
    """Bring the super cluster of ``state`` up, with the given options changed.

    Returns when all is ready. Raises StateError, OptionsError, NotReady, SupervisionError,
    EtcdError, MissingRequirement, ImageError, CommandError, and what obtaining the programs raises.
    """
    with state.locked():
        state.prepare()
        options = _remember(state, given)
        if said := machine.advice(machine.inotify_instances()):
            report(said)
        real = REAL_NODE_NAMES if options.real_nodes else ()
        assemble_programs(state, (*components.wanted(options), *real), report)
        _Bringing(state, options, report).run()


def _remember(state: State, given: dict[str, Any]) -> Options:
    record = state.read()
    options = record.options.changed(given)
    if options.real_nodes:
        requirements.check(state.directory)
    if record.ports and options.kubeconfig != record.options.kubeconfig:
        known = record.options.kubeconfig or "a cluster of its own"
        msg = (
            f"{state.directory} was set up with {known} as super cluster; "
            "choose another --state-dir, or vc down --purge first"
        )
        raise StateError(msg)
    state.update(options=options)
    return options


class _Bringing:
    """One run of `vc up`."""

    def __init__(self, state: State, options: Options, report: Report) -> None:
        self._state = state
        self._options = options
        self._report = report
        self._supervisor = Supervisor(state.supervisor_directory)
        self._wanted = components.wanted(options)
        self._started = time.monotonic()

    def run(self) -> None:
        """The main flow, in order of time."""
        self._settle_files()
        if not self._supervisor.is_running():
            leftovers.clear(self._state.directory)
        self._supervisor.start()
        record = self._state.read()
        if record.cluster_ready:
            self._apply(self._wanted)
        if not record.datastore_ready:
            self._start_datastore()
        if not record.cluster_ready and not self._options.kubeconfig:
            # The others end, and are tried again, as long as there is no API server.
            self._apply([components.ETCD, components.API_SERVER])
        nodes = self._fill_cluster()
        self._bring_real_nodes()
        self._apply(self._wanted)
        self._await(nodes)
        self._state.update(cluster_ready=True)

    def _settle_files(self) -> None:
        ports = self._state.choose_ports(self._supervisor.is_running())
        self._state.update(ports=ports)
        if self._options.real_nodes:
            bring_up.choose_block(self._state)
        if self._options.kubeconfig:
            credentials.ensure_datastore(self._state)
        else:
            credentials.ensure(self._state, ports[components.API_SERVER])
            configuration.write(self._state, self._options)

    def _apply(self, names: Sequence[str]) -> None:
        state, options = self._state, self._options
        digests = configuration.digests(state, options)
        programs = components.programs(state, state.ports, names, options, digests, state.site())
        self._supervisor.apply(components.GROUP, programs)

    def _start_datastore(self) -> None:
        self._apply([components.ETCD])
        port = self._state.ports[components.ETCD]
        self._wait("etcd answers", partial(datastore.answers, self._state, port))
        datastore.secure(self._state, port)
        self._state.update(datastore_ready=True)
        self._say("etcd ready")

    def _fill_cluster(self) -> list[str]:
        """What the super cluster must hold; the names of the nodes that must become ready."""
        cluster = Cluster.from_kubeconfig(str(self._state.super_kubeconfig()))
        try:
            self._wait("the super cluster's API server is ready", partial(_ready, cluster))
            self._say("API server ready")
            objects.apply_definitions(cluster, self._wait)
            # Just established kinds may be unknown for a moment yet.
            self._wait(
                "rights and classes are applied", partial(_done, objects.apply_chart, cluster)
            )
            if self._options.kubeconfig:
                return []
            objects.apply_simulation(cluster)
            site = self._state.site()
            objects.apply_storage(cluster, self._options.real_nodes > 0)
            port = self._state.ports[components.API_SERVER]
            objects.apply_endpoints(cluster, str(site.gateway) if site else "", port)
            bring_up.remove_surplus(cluster, self._options.real_nodes)
            real = [node.name for node in site.nodes(self._options.real_nodes)] if site else []
            node_agent = f"{ADDRESS}:{self._state.ports[components.NODE_AGENT]}"
            return objects.apply_nodes(cluster, self._options, node_agent) + real
        finally:
            cluster.close()

    def _bring_real_nodes(self) -> None:
        site = self._state.site()
        if site is None:
            bring_up.take_away(self._state)
            return
        count = self._options.real_nodes
        bring_up.bring_up(self._state, site, count, self._report, self._wait)
        self._say(f"{count} real node{'s' if count > 1 else ''} started")

    def _await(self, nodes: list[str]) -> None:
        if nodes:
            cluster = Cluster.from_kubeconfig(str(self._state.super_kubeconfig()))
            self._wait("all nodes are ready", partial(objects.nodes_ready, cluster, nodes))
            cluster.close()
            self._say(f"{len(nodes)} nodes ready")
        if site := self._state.site():
            real = site.nodes(self._options.real_nodes)
            self._wait("the real nodes' agents listen", partial(bring_up.agents_listen, real))
        for service in components.services(self._options):
            self._wait(f"{service} is ready", partial(serves, self._state, service))
            self._say(f"{service} ready")

    def _wait(
        self, what: str, condition: Callable[[], bool], seconds: float = READY_SECONDS
    ) -> None:
        deadline = time.monotonic() + seconds
        problem = ""
        while True:
            try:
                if condition():
                    return
            except (ApiError, Unreachable) as error:
                problem = f" ({error})"
            if time.monotonic() > deadline:
                msg = f"waited {seconds:.0f} s in vain until {what}{problem}"
                raise NotReady(f"{msg}; see vc status and the logs in {self._state.logs}")
            time.sleep(POLL_SECONDS)

    def _say(self, what: str) -> None:
        self._report(f"{what} after {time.monotonic() - self._started:.1f} s")


def serves(state: State, service: str) -> bool:
    """Whether a service of ours says that it is ready, on the port in their file."""
    try:
        port = int(state.port_file(service).read_text())
        # S310: the address is our own constant.
        with urllib.request.urlopen(f"http://{ADDRESS}:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _ready(cluster: Cluster) -> bool:
    return cluster.probe("/readyz")[0]


def _done(action: Callable[[Cluster], None], cluster: Cluster) -> bool:
    action(cluster)
    return True

"""A VirtualCluster becomes a running control plane: the main flow, top to bottom.

Every step finds out what is there and adds what is missing, so a pass may be cut off anywhere and
the next one ends in the same state. Both parts block: call them in threads, one pass per tenant at a time.
"""

import time
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import NoReturn

import structlog

from kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from vcluster import api
from vcluster.api import Condition, Object
from vcluster.control_plane import (
    apply,
    credentials,
    front_door,
    full_datastore,
    service_range,
)
from vcluster.control_plane.cluster import ApiError, Cluster, Unreachable
from vcluster.control_plane.components import COMPONENTS
from vcluster.control_plane.effective import InvalidSpec, effective, kubernetes_version
from vcluster.control_plane.manifests import KUBERNETES_ENDPOINTS, Manifests
from vcluster.control_plane.plan import KUBE_APISERVER, Plan, backup_files, pairs_in
from vcluster.control_plane.readiness import Readiness
from vcluster.control_plane.resources import VIRTUAL_CLUSTER_CLASSES, VIRTUAL_CLUSTERS
from vcluster.control_plane.secrets import credentials_of, secrets_of
from vcluster.control_plane.status import StatusRecord
from vcluster.datastore.limits import Standing
from vcluster.datastore.shared import DatastoreError, SharedDatastore
from vcluster.datastore.shares import Owner, Shares
from vcluster.pki import certificates
from vcluster.pki.authority import now
from vcluster.pki.certificates import control_plane_certificates
from vcluster.provisioners.process import PlacementError, ProcessProvisioner
from vcluster.supervision import SupervisionError

log = structlog.get_logger()

READY_SECONDS = 20.0
"""How long one pass waits for a control plane; then the next one goes on."""
POLL_SECONDS = 0.1
TENANT_REQUESTS_AT_ONCE = 8
TENANT_SECONDS = 20.0
"""How long one pass asks a tenant that is ready; one that hangs must not hold up its own deletion."""
STILL_WANTED_SECONDS = 1.0

DNS_TEMPLATE = "tenant/dns.yaml.j2"


class NotReady(Exception):
    """The pass got no further; the conditions say why. Another one is due soon."""


class NotWanted(Exception):
    """The VirtualCluster is gone, or going."""


@dataclass(frozen=True, slots=True)
class Provider:
    """All that the provider offers to its tenants."""

    cluster: Cluster
    datastore: SharedDatastore
    shares: Shares
    provisioner: ProcessProvisioner
    manifests: Manifests
    executor: Executor
    """For what can be done at once in the super cluster; never runs whole passes."""
    service_pool: str
    gateway_address: str
    """Where pods reach the tenants' API servers, at these servers' own ports; empty: nowhere."""
    stopping: Event
    node_agent_authority: bytes = b""
    """Signs the node agents' serving certificates, PEM; empty: there are no node agents."""
    egress_proxy: bool = False
    """Tenants' API servers connect through an egress proxy only; else to whatever they are told."""
    history_seconds: float = 600.0
    """How long the datastore may keep what was overwritten."""


class Pass:
    """One pass over one VirtualCluster."""

    def __init__(self, provider: Provider, virtual_cluster: Object) -> None:
        self._provider = provider
        self._object = virtual_cluster
        self._metadata = virtual_cluster["metadata"]
        self._key = api.tenant_key(self._metadata["name"], self._metadata["uid"])
        self._record = StatusRecord(provider.cluster, virtual_cluster)
        self._secrets: list[Object] = []

    def prepare(self) -> Plan | None:
        """All that needs no answer of the tenant's: its control plane starts. None: the spec is invalid.

        Raises NotReady; ApiError and Unreachable if the super cluster fails us.
        """
        if not self._validate():
            return None
        self._ensure_root_namespace()
        plan = self._plan()
        self._start(plan)
        return plan

    def finish(self, plan: Plan) -> None:
        """The rest: it waits for the tenant's API server, for a bounded time. Raises NotWanted too."""
        with Readiness(plan) as readiness:
            self._wait_until_ready(readiness)
            readiness.tenant.give_up_after(TENANT_SECONDS)
            self._bootstrap(plan, readiness.tenant)
            self._record.write()
            self._dns(readiness.tenant, plan)
        self._record.write()

    def _validate(self) -> bool:
        """Whether there is something valid to act on, be it of an earlier generation."""
        record, spec = self._record, self._object.get("spec", {})
        record.fields["tenantKey"] = self._key
        name = spec.get("className", api.DEFAULT_CLASS)
        found = self._provider.cluster.get(VIRTUAL_CLUSTER_CLASSES, name)
        try:
            record.fields["effective"] = effective(spec, found)
        except InvalidSpec as error:
            record.set(Condition.SPEC_VALID, False, error.reason, str(error))
            record.write()
            return "effective" in record.fields
        record.fields["kubernetesVersion"] = kubernetes_version(spec, found or {})
        record.set(Condition.SPEC_VALID, True, "Valid", "The class allows the spec")
        record.write()
        return True

    def _ensure_root_namespace(self) -> None:
        provider, metadata = self._provider, self._metadata
        live = provider.cluster.get(NAMESPACES, self._key)
        annotations = live["metadata"].get("annotations", {}) if live else {}
        owner = annotations.get(api.OWNER_UID_ANNOTATION)
        if live is not None and owner != metadata["uid"]:
            self._fail("RootNamespaceTaken", f"namespace {self._key} is not this tenant's")
        if live is not None and "deletionTimestamp" in live["metadata"]:
            self._fail("RootNamespaceTerminating", f"namespace {self._key} is being deleted")
        wanted = provider.manifests.render(
            "control-plane/root-namespace.yaml.j2",
            key=self._key,
            bucket=api.bucket(self._key),
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
        )
        if not apply.contains(live, wanted[0]):
            provider.cluster.apply(NAMESPACES, wanted[0])

    def _plan(self) -> Plan:
        """What is to run, with the datastore's share, the service range and all keys at hand."""
        datastore = self._provider.executor.submit(self._provider.datastore.ensure, self._key)
        try:
            plan = self._decide()
            datastore.result()
        except DatastoreError as error:
            self._record.set(Condition.DATASTORE_READY, False, "DatastoreUnavailable", str(error))
            self._fail("DatastoreUnavailable", str(error))
        except service_range.ServiceRangeError as error:
            self._fail("ServiceRangeUnavailable", str(error))
        except PlacementError as error:
            self._fail("NoPlace", str(error))
        except OSError as error:
            self._fail("FilesNotWritten", str(error))
        finally:
            wait(
                [datastore]
            )  # nothing of a pass may go on when it has ended: a teardown may follow
        own = f"Prefix /{self._key}/ is the tenant's own"
        self._record.set(Condition.DATASTORE_READY, True, "UserAndRole", own)
        self._share(plan)
        return plan

    def _share(self, plan: Plan) -> None:
        """How much of the datastore it fills. The limit holds without this: see datastore/shares.py."""
        metadata, record = self._metadata, self._record
        owner = Owner(metadata["namespace"], metadata["name"], metadata["uid"])
        reading = self._provider.shares.follow(plan.key, owner, plan.limits)
        if reading is None:
            return
        record.fields["datastore"] = full_datastore.used(reading)
        has_room = reading.standing == Standing()
        record.set(
            Condition.DATASTORE_HAS_ROOM, has_room, *full_datastore.told(reading, plan.limits)
        )

    def _decide(self) -> Plan:
        provider, key = self._provider, self._key
        remembered = self._record.fields.get("serviceCIDR", "")
        cidr = service_range.ensure(
            provider.cluster, provider.manifests, key, remembered, provider.service_pool
        )
        placement = provider.provisioner.place(key, [part.name for part in COMPONENTS])
        authority = provider.datastore.authority
        self._secrets = provider.cluster.list(SECRETS, key)
        found = (credentials_of(self._secrets), pairs_in(provider.provisioner.saved(key)))
        wanted = control_plane_certificates(key, api.service_address(cidr, 1))
        plan = Plan(
            key=key,
            name=self._metadata["name"],
            service_cidr=cidr,
            placement=placement,
            credentials=credentials.complete(key, found, wanted, authority, now()),
            etcd_endpoints=provider.datastore.endpoints,
            etcd_authority=authority.certificate,
            limits=full_datastore.limits_of(
                self._record.fields["effective"], provider.history_seconds
            ),
            node_agent_authority=provider.node_agent_authority,
            egress_proxy=provider.egress_proxy,
        )
        # On disk before anything uses them: a crash before the Secrets are written loses no key.
        provider.provisioner.save(key, backup_files(plan.credentials))
        return plan

    def _start(self, plan: Plan) -> None:
        provider, record = self._provider, self._record
        try:
            provider.provisioner.run(
                plan.key, plan.placement, [part.render(plan) for part in COMPONENTS]
            )
        except (SupervisionError, OSError) as error:
            self._fail("ProcessesNotStarted", str(error))
        # The programs take seconds to start; the Secrets are written meanwhile.
        wanted = secrets_of(plan.key, plan.name, plan.server, plan.credentials)
        changed = apply.different(self._secrets, wanted)
        written = apply.apply_all(provider.cluster, changed, provider.executor)
        if written:
            log.info("secrets written", tenant=plan.key, secrets=written)
        self._publish(plan)
        record.fields["serviceCIDR"] = plan.service_cidr
        record.fields["endpoint"] = plan.server
        record.fields["kubeconfigSecret"] = api.ADMIN_KUBECONFIG_SECRET

    def _publish(self, plan: Plan) -> None:
        """Tell the node agents who signs this tenant's clients and tokens."""
        provider, pairs = self._provider, plan.credentials
        data = {
            api.CLIENT_CA_KEY: pairs[certificates.CLUSTER_AUTHORITY].certificate.decode(),
            api.TOKEN_KEY_KEY: pairs[certificates.SERVICE_ACCOUNT_KEY].certificate.decode(),
        }
        if provider.gateway_address:
            # default/kubernetes has endpoints, so nodes reach its address.
            data[api.API_SERVER_KEY] = f"https://{plan.kubernetes_address}:443"
        wanted = provider.manifests.render(
            "control-plane/client-ca.yaml.j2",
            key=plan.key,
            name=api.CLIENT_CA_CONFIG_MAP,
            component=api.CLIENT_CA_COMPONENT,
            data=data,
        )
        apply.converge(provider.cluster, wanted, provider.executor)

    def _wait_until_ready(self, readiness: Readiness) -> None:
        record = self._record
        deadline = time.monotonic() + READY_SECONDS
        asked = time.monotonic()
        while waiting_for := readiness.waiting_for():
            record.set(Condition.CONTROL_PLANE_READY, False, "Starting", waiting_for)
            record.write()
            if time.monotonic() > deadline:
                raise NotReady(waiting_for)
            if time.monotonic() - asked > STILL_WANTED_SECONDS:
                asked = time.monotonic()
                self._still_wanted()
            if self._provider.stopping.wait(POLL_SECONDS):
                raise NotReady("the operator ends")
        record.set(Condition.CONTROL_PLANE_READY, True, "Healthy", "All components are ready")

    def _bootstrap(self, plan: Plan, tenant: Cluster) -> None:
        provider, record = self._provider, self._record
        values = front_door.values(record.fields["effective"])
        wanted = [
            obj
            for template in front_door.TEMPLATES
            for obj in provider.manifests.render(template, **values)
        ]
        if provider.gateway_address:
            port = plan.placement.ports[KUBE_APISERVER]
            wanted += provider.manifests.render(
                KUBERNETES_ENDPOINTS, address=provider.gateway_address, port=port
            )
        try:
            with self._tenant_executor(Condition.BOOTSTRAPPED) as executor:
                written = apply.converge(tenant, wanted, executor)
            if not self._held(Condition.BOOTSTRAPPED):
                self._wait_for_account(tenant)
        except (ApiError, Unreachable) as error:
            record.set(Condition.BOOTSTRAPPED, False, "TenantRefused", str(error))
            record.write()
            raise NotReady(str(error)) from error
        if written:
            log.info("bootstrap objects written", tenant=self._key, objects=written)
        record.set(
            Condition.BOOTSTRAPPED, True, "Applied", "Roles, flow control and policy are in place"
        )

    def _wait_for_account(self, tenant: Cluster) -> None:
        """Of a new tenant: an API server takes no pod before the controller-manager has made it."""
        deadline = time.monotonic() + READY_SECONDS
        while tenant.get(SERVICE_ACCOUNTS, "default", "default") is None:
            if time.monotonic() > deadline or self._provider.stopping.wait(POLL_SECONDS):
                waits = "kube-controller-manager: has not made service account default/default yet"
                self._record.set(Condition.BOOTSTRAPPED, False, "Starting", waits)
                self._record.write()
                raise NotReady(waits)

    def _held(self, condition: Condition) -> bool:
        """Whether it was so at the last look."""
        last = self._record.states.get(condition)
        return last is not None and last.status is True

    def _dns(self, tenant: Cluster, plan: Plan) -> None:
        """Not needed for Ready: a cluster without names is one that can be used, and looked at."""
        provider, record = self._provider, self._record
        # Of an earlier version's status, while the spec is invalid, it may be missing.
        wanted = record.fields["effective"].get("dns", {"enabled": True, "image": api.DNS_IMAGE})
        objects = provider.manifests.render(
            DNS_TEMPLATE, key=plan.key, address=plan.dns_address, image=wanted["image"]
        )
        try:
            if not wanted["enabled"]:
                changed = apply.remove(tenant, objects[1:])
                record.set(Condition.DNS_INSTALLED, False, "Disabled", "spec.dns.enabled is false")
            else:
                with self._tenant_executor(Condition.DNS_INSTALLED) as executor:
                    # Its namespace first; the rest needs no order.
                    changed = apply.converge(tenant, objects[:1], executor)
                    changed += apply.converge(tenant, objects[1:], executor)
                record.set(Condition.DNS_INSTALLED, True, "Applied", "CoreDNS is installed")
        except (ApiError, Unreachable) as error:
            # The next look will do: a tenant may refuse these for good, by a webhook of its own.
            record.set(Condition.DNS_INSTALLED, False, "TenantRefused", str(error))
            return
        if changed:
            log.info("cluster DNS changed", tenant=self._key, objects=changed)

    def _tenant_executor(self, condition: Condition) -> ThreadPoolExecutor:
        """For requests to the tenant's API server: a webhook there can make each of them hang, and the
        threads that all tenants share must not wait for it (law 3).

        What was there at the last look most likely is there: that needs no haste, and each request
        that goes beside others needs a connection.
        """
        at_once = 1 if self._held(condition) else TENANT_REQUESTS_AT_ONCE
        return ThreadPoolExecutor(at_once, "tenant")

    def _still_wanted(self) -> None:
        metadata = self._metadata
        live = self._provider.cluster.get(VIRTUAL_CLUSTERS, metadata["name"], metadata["namespace"])
        if live is None or live["metadata"]["uid"] != metadata["uid"] or is_deleting(live):
            raise NotWanted(self._key)

    def _fail(self, reason: str, message: str) -> NoReturn:
        self._record.set(Condition.CONTROL_PLANE_READY, False, reason, message)
        self._record.write()
        raise NotReady(message)


def is_deleting(virtual_cluster: Object) -> bool:
    """Whether its deletion was asked for."""
    return "deletionTimestamp" in virtual_cluster["metadata"]

"""The status of one VirtualCluster during one pass: gathered, then written when it has changed."""

from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import structlog

from kube.resources import EVENTS
from vcluster import api
from vcluster.api import Condition, Object, Phase
from vcluster.control_plane.cluster import FIELD_MANAGER, ApiError, Cluster, Unreachable
from vcluster.control_plane.conditions import State, conditions, phase, ready, states_of
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

log = structlog.get_logger()

IN_PROGRESS = frozenset({"Starting", "Waiting", "Deleting", "Disabled"})
"""Reasons of a False condition that is nothing to worry about."""

FIELDS = (
    "tenantKey",
    "endpoint",
    "serviceCIDR",
    "kubeconfigSecret",
    "kubernetesVersion",
    "effective",
    "datastore",
)


class StatusRecord:
    """Not for several threads at once. Keeps what others wrote: it applies only its own fields."""

    def __init__(self, cluster: Cluster, virtual_cluster: Object) -> None:
        self._cluster = cluster
        self._object = virtual_cluster
        old = virtual_cluster.get("status") or {}
        self._old_conditions: list[Object] = old.get("conditions") or []
        self._was_ready = old.get("phase") in (Phase.READY, Phase.DEGRADED)
        self._written = {
            name: old[name] for name in (*FIELDS, "phase", "observedGeneration") if name in old
        }
        self.fields: dict[str, Any] = {name: old[name] for name in FIELDS if name in old}
        self.states: dict[Condition, State] = states_of(old)
        self.states.pop(Condition.READY, None)
        self._told = dict(self.states)

    @classmethod
    def deleting(cls, cluster: Cluster, virtual_cluster: Object, remaining: list[str]) -> None:
        """Say what a deletion waits for."""
        record = cls(cluster, virtual_cluster)
        message = f"Waits until gone: {', '.join(remaining)}"
        record.set(Condition.CONTROL_PLANE_READY, False, "Deleting", message)
        for condition in (Condition.BOOTSTRAPPED, Condition.DNS_INSTALLED):
            record.set(condition, False, "Deleting", "The control plane is gone")
        record.write()

    def set(self, condition: Condition, status: bool | None, reason: str, message: str) -> None:
        """Say how one condition stands; nothing is written yet."""
        self.states[condition] = State(status, reason, message)

    def write(self) -> None:
        """Write what has changed since the last time, with an Event for each condition that did.

        Raises ApiError (404: the object is gone), Unreachable.
        """
        metadata = self._object["metadata"]
        deleting = "deletionTimestamp" in metadata
        states = {**self.states, Condition.READY: ready(self.states)}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        merged = conditions(self._old_conditions, states, metadata["generation"], now)
        values = {
            **self.fields,
            "phase": str(phase(self.states, was_ready=self._was_ready, deleting=deleting)),
            "observedGeneration": metadata["generation"],
        }
        ours = {condition["type"] for condition in merged}
        before = [known for known in self._old_conditions if known["type"] in ours]
        if values == self._written and _by_type(merged) == _by_type(before):
            return
        self._apply({**values, "conditions": merged})
        self._written, self._old_conditions = values, merged
        self._was_ready = self._was_ready or values["phase"] == Phase.READY
        self._tell()

    def _apply(self, status: Object) -> None:
        metadata = self._object["metadata"]
        names = {field: metadata[field] for field in ("name", "namespace", "uid")}
        self._cluster.apply(
            VIRTUAL_CLUSTERS,
            {
                "apiVersion": api.API_VERSION,
                "kind": VIRTUAL_CLUSTERS.kind,
                "metadata": names,
                "status": status,
            },
            "status",
        )

    def _tell(self) -> None:
        for condition, state in self.states.items():
            told = self._told.get(condition)
            if told is None or (told.status, told.reason) != (state.status, state.reason):
                self._told[condition] = state
                self._event(condition, state)

    def _event(self, condition: Condition, state: State) -> None:
        metadata = self._object["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        harmless = state.status is not False or state.reason in IN_PROGRESS
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{token_hex(8)}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": api.API_VERSION,
                "kind": VIRTUAL_CLUSTERS.kind,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "type": "Normal" if harmless else "Warning",
            "reason": state.reason,
            "message": f"{condition}: {state.message}"[:1000],
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._cluster.create(EVENTS, event)
        except (ApiError, Unreachable) as error:
            log.warning("event not posted", reason=state.reason, error=str(error))


def _by_type(listed: list[Object]) -> dict[str, Object]:
    return {condition["type"]: condition for condition in listed}

"""What the operator has measured, for Prometheus. Pure."""

from collections.abc import Iterator, Mapping
from operator import attrgetter

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from vcluster.datastore.shares import Reading


def exposition(readings: Mapping[str, Reading]) -> str:
    """Each tenant's share of the datastore; those that left are not in it."""
    registry = CollectorRegistry()
    registry.register(_Shares(readings))
    return generate_latest(registry).decode()


class _Shares(Collector):
    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See Collector."""
        for name, text, value in (
            ("objects", "objects in the datastore", attrgetter("objects")),
            ("bytes", "bytes of keys and values in the datastore", attrgetter("size")),
            (
                "level",
                "0: may write; 1: no new objects; 2: nothing may grow",
                attrgetter("standing.level"),
            ),
            (
                "history_bytes",
                "bytes written within the time that etcd keeps history",
                attrgetter("written"),
            ),
            (
                "stage",
                "0: may write; 1: no large objects; 2: small objects only; 3: only deletions",
                attrgetter("standing.stage"),
            ),
        ):
            family = GaugeMetricFamily(f"operator_datastore_{name}", text, labels=["tenant"])
            for key, reading in self._readings.items():
                family.add_metric([key], float(value(reading)))
            yield family

"""What the syncer says about itself at /metrics."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.local_system import LocalSystem


class SyncerMetrics:
    """All samples of one moment."""

    def __init__(self, local: LocalSystem) -> None:
        port = int((local.state_directory / "syncer.port").read_text())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 if there are none."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def breaker_is_open(self, tenant_key: str) -> bool:
        """The tenant's API server is taken for dead, and only probed."""
        return self.value("syncer_breaker_open", tenant=tenant_key) == 1

    @property
    def handed_out(self) -> float:
        """How many requests have left their queue."""
        return self.value("syncer_queue_wait_seconds_count")

    def waited_longer(self, seconds: float) -> float:
        """How many of these had waited longer; one of the histogram's limits."""
        return self.handed_out - self.value("syncer_queue_wait_seconds_bucket", le=str(seconds))

    def lists(self, side: str, kind: str) -> float:
        """How often the objects of a kind were listed (pages), on one side."""
        return self.value("syncer_requests", side=side, verb="LIST", kind=kind)

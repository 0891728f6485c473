"""What Prometheus gets from the operator."""

from vcluster.datastore.limits import Level, Stage, Standing
from vcluster.datastore.shares import Reading
from vcluster.operator.metrics import exposition


def test_each_tenants_share_is_shown() -> None:
    text = exposition({"team-a-1": Reading(7, 1000, 5000, Standing(Level.FULL, Stage.HELD))})
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert found == {
        f'operator_datastore_{name}{{tenant="team-a-1"}}': value
        for name, value in {
            "objects": "7.0",
            "bytes": "1000.0",
            "level": "1.0",
            "history_bytes": "5000.0",
            "stage": "2.0",
        }.items()
    }

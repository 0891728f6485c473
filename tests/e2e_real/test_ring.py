"""A distributed job: its workers find each other by name, form a ring, and pass data around."""

from functools import partial

from tests.e2e.local_system import Object, TenantCluster, wait_for
from tests.e2e.objects import job, service
from tests.e2e_real.containers import container_pod

WORKERS = 4
PORT = 9000
# Each adds itself to what it is given; the first begins, and ends with what all have added. The taker lets
# `cat` read the connection: an `nc` whose own input has ended tells so at once, and a giver that hears it
# before it has said anything may go without a word.
WORKER = f"""
me=$JOB_COMPLETION_INDEX
peer=train-$(( (me + 1) % {WORKERS} )).train
give() {{ until echo "$1" | nc -w 5 $peer {PORT} 2>/dev/null; do sleep 0.2; done; }}
take() {{ nc -l -p {PORT} -e sh -c 'cat > /tmp/taken'; cat /tmp/taken; }}
if [ $me = 0 ]; then
  take > /tmp/whole & give "$TEAM: 0"; wait; cat /tmp/whole
else
  give "$(take) $me"
fi
"""


def training() -> list[Object]:
    """The job, with the service that gives its workers names."""
    spec = container_pod("train", WORKER, restartPolicy="Never", subdomain="train")["spec"]
    team = {"configMapKeyRef": {"name": "train", "key": "team"}}
    spec["containers"][0]["env"] = [{"name": "TEAM", "valueFrom": team}]
    names = {"clusterIP": "None", "publishNotReadyAddresses": True}
    selector = {"batch.kubernetes.io/job-name": "train"}
    return [
        service("train", ports=[{"port": PORT}], selector=selector, **names),
        job("train", WORKERS, {}, **spec),
    ]


def test_rings_of_two_tenants_with_equal_names(
    team_a: TenantCluster, team_b: TenantCluster
) -> None:
    teams = (team_a, team_b)
    for team in teams:
        team.kubectl("create", "configmap", "train", f"--from-literal=team={team.name}")
        team.apply(*training())
    for team in teams:
        wait_for(f"{team.name}'s job has ended", partial(complete, team), 120)
        selector = "batch.kubernetes.io/job-completion-index=0"
        said = team.kubectl("logs", "-l", selector)
        assert said == f"{team.name}: 0 1 2 3\n"
        team.kubectl("delete", "job,service,configmap", "train")


def complete(team: TenantCluster) -> bool:
    """All workers have ended well. AssertionError as soon as one has not."""
    status = (team.get("job", "train") or {}).get("status", {})
    assert not status.get("failed"), team.kubectl("logs", "-l", "job-name=train", check=False)
    return bool(status.get("succeeded") == WORKERS)

"""The demo of the README does what it shows, also a second time."""

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.local_system import LocalSystem, TenantCluster

DEMO = Path(__file__).parents[2] / "examples/demo.py"


def test_the_demo_runs_twice(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(DEMO)],
            env=os.environ | {"VC_STATE_DIR": str(local.state_directory)},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "example.com/v1" in done.stdout
        assert "example.com/v2" in done.stdout
        assert "job complete" in done.stdout
    for tenant in (team_a, team_b):
        tenant.kubectl("delete", "namespace", "shop", "--wait=false")
        tenant.kubectl("delete", "crd", "widgets.example.com")

"""The operator's look at a control plane."""

import pytest

from tests.unit.control_plane.test_programs import a_plan
from vcluster.control_plane.cluster import Unreachable
from vcluster.control_plane.readiness import Readiness


def test_files_that_are_gone_pass_by_themselves() -> None:
    """As while a tenant is being taken away: the next pass knows."""
    with pytest.raises(Unreachable, match="No such file"):
        Readiness(a_plan())

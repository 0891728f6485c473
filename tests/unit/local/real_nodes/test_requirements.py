"""What a machine lacks for real nodes is said in a sentence."""

import os
from pathlib import Path

import pytest

from vcluster.local.options import Options, OptionsError
from vcluster.local.real_nodes import cgroups
from vcluster.local.real_nodes.requirements import MissingRequirement, check


@pytest.mark.skipif(os.geteuid() != 0 or bool(cgroups.missing()), reason="needs root and cgroup v1")
def test_a_state_directory_that_nodes_cannot_see_is_refused() -> None:
    check(Path("/root/state"))
    with pytest.raises(MissingRequirement, match=r"/run/vc is below /run"):
        check(Path("/run/vc"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"real_nodes": 17}, "real-nodes is 17, but must be between 0 and 16"),
        ({"real_nodes": -1}, "real-nodes is -1"),
        ({"real_nodes": 1, "kubeconfig": "/f"}, "real-nodes is 1, but must be 0 with kubeconfig"),
    ],
)
def test_numbers_that_cannot_be_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        Options().changed(given)

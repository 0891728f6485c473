"""Real servers, started once for all integration tests that want them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.operator_process import OperatorProcess, running_operator
from tests.integration.super_cluster import SuperCluster, running_super_cluster


@pytest.fixture(scope="session")
def super_cluster() -> Iterator[SuperCluster]:
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok, without our programs.

    The programs come from the folder $VC_BINARIES, or are found or built as by ``vc binaries get``.
    """
    with running_super_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def binaries(super_cluster: SuperCluster) -> Path:
    """The folder with the Kubernetes programs, by their plain names."""
    return super_cluster.state.binaries


@pytest.fixture(scope="module")
def operator(super_cluster: SuperCluster) -> Iterator[OperatorProcess]:
    """A running operator. A test that kills it starts it again."""
    with running_operator(super_cluster) as running:
        yield running

"""The datastore's share of a tenant; what etcd itself does with it is an integration test."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster.datastore.shared import DatastoreError, SharedDatastore, prefix, prefix_end

keys = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?-[0-9a-f]{8}", fullmatch=True)


@given(keys, keys)
def test_no_tenants_range_holds_anothers_keys(one: str, other: str) -> None:
    if one != other:
        assert not prefix(one) <= f"{prefix(other)}registry/pods" < prefix_end(one)
    assert prefix(one) <= f"{prefix(one)}registry/pods" < prefix_end(one)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    datastore = SharedDatastore(tmp_path / "etcdctl", "https://127.0.0.1:1", tmp_path)
    with pytest.raises(DatastoreError, match=r"ca\.crt"):
        _ = datastore.authority


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    datastore = SharedDatastore(tmp_path / "etcdctl", "https://127.0.0.1:1", tmp_path)
    with pytest.raises(DatastoreError, match="cannot run etcdctl"):
        datastore.ensure("team-a-1")

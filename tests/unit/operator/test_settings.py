"""What the operator can be told, and what it refuses."""

from pathlib import Path

import msgspec
import pytest
import yaml
from kopf import OperatorSettings

from vcluster.operator.connection import connection
from vcluster.operator.settings import Settings


def test_settings_come_from_the_environment() -> None:
    settings = Settings.from_environment({"OPERATOR_RESYNC_SECONDS": "2.5", "HOME": "/"})
    assert settings.resync_seconds == 2.5


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="resync_second`"):
        Settings.from_environment({"OPERATOR_RESYNC_SECOND": "2"})


def test_history_is_kept_for_some_time() -> None:
    with pytest.raises(msgspec.ValidationError, match="etcd_history_seconds"):
        Settings.from_environment({"OPERATOR_ETCD_HISTORY_SECONDS": "0"})


def test_kopf_connects_as_the_kubeconfigs_current_context_says(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("authority")
    document = {
        "current-context": "b",
        "contexts": [
            {"name": "a", "context": {"cluster": "x", "user": "y"}},
            {"name": "b", "context": {"cluster": "super", "user": "operator"}},
        ],
        "clusters": [
            {
                "name": "super",
                "cluster": {"server": "https://one", "certificate-authority": "ca.crt"},
            }
        ],
        "users": [{"name": "operator", "user": {"client-certificate-data": "b25l"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    found = connection(str(path), OperatorSettings())
    assert found is not None
    assert (found.server, found.ca_data, found.certificate_data) == (
        "https://one",
        "authority",
        "one",
    )


def test_a_kubeconfig_without_the_named_context_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump({"current-context": "gone", "contexts": []}))
    with pytest.raises(ValueError, match="no context named 'gone'"):
        connection(str(path), OperatorSettings())

"""The gateway: which ports it opens. That bytes pass through is tested with real nodes."""

from pathlib import Path

from vcluster.local.real_nodes.gateway import tenant_ports


def test_only_ports_of_api_servers_are_opened(tmp_path: Path) -> None:
    for key, text in {
        "a": '{"kube-apiserver": 61001, "kube-controller-manager": 61002}',
        "b": '{"kube-controller-manager": 61003}',
        "half-made": "{",
    }.items():
        folder = tmp_path / "tenants" / key
        folder.mkdir(parents=True)
        (folder / "ports.json").write_text(text)
    assert set(tenant_ports(tmp_path)) == {61001}
    assert not set(tenant_ports(tmp_path / "nothing"))

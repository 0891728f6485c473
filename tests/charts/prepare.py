"""What release tools do to a project's sources before they publish a chart, as far as we need it."""

import re
from pathlib import Path


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Replace what the pattern finds, in each line; AssertionError if that is nothing."""
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count, f"{path} has nothing like {pattern}"
    path.write_text(text)


def cert_manager(source: Path) -> None:
    """Its chart gets a version, and the definitions of its resources as one template."""
    chart = source / "deploy/charts/cert-manager"
    (chart / "Chart.yaml").write_text((chart / "Chart.template.yaml").read_text())
    edit(chart / "Chart.yaml", r"^(version|appVersion): .*", r"\1: v1.11.5")
    crds = sorted((source / "deploy/crds").glob("crd-*.yaml"))
    joined = "---\n".join(path.read_text() for path in crds)
    guarded = f"{{{{- if .Values.installCRDs }}}}\n{joined}{{{{- end }}}}\n"
    (chart / "templates/crds.yaml").write_text(guarded)


def trainer(source: Path) -> None:
    """JobSet comes from an entry of its own; the line would download it."""
    edit(source / "manifests/overlays/manager/kustomization.yaml", r"^.*third-party/jobset.*\n", "")


def prometheus_operator(source: Path) -> None:
    """Its parts are modules of their own, at the same version; the replacements are not in the zip."""
    edit(source / "go.mod", r"^.*=> \./pkg/.*\n", "")


def kyverno(source: Path) -> None:
    """What is published as one file, without the controllers that admit nothing."""
    (source / "config" / "kustomization.yaml").write_text(
        "resources: [install-latest-testing.yaml]\n"
        "patches:\n"
        "- target: {kind: Deployment, name: kyverno-(background|cleanup|reports)-controller}\n"
        "  patch: '{$patch: delete, apiVersion: apps/v1, kind: Deployment, metadata: {name: any}}'\n"
    )

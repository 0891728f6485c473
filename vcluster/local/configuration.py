"""The files that the super cluster's programs read, rendered from templates."""

from hashlib import sha256

import jinja2

from vcluster.assets import templates_directory
from vcluster.local.options import Options
from vcluster.local.state import State
from vcluster.supervision import host

JOB_SECONDS = 3
"""How long a Job's pod runs that does not say it."""
SPREAD = 0.4


def write(state: State, options: Options) -> None:
    """Write them; a file that would not change is not touched."""
    host.private_directory(state.configuration)
    folder = templates_directory() / "local"
    policy = (folder / "audit-policy.yaml").read_text()
    host.write_private(state.configuration / "audit-policy.yaml", policy)
    host.write_private(state.configuration / "stages.yaml", render_stages(options))


def render_stages(options: Options) -> str:
    """kwok's stages: how fast simulated pods start, and how long Jobs run."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_directory() / "local"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    milliseconds = options.pod_start_delay * 1000
    return environment.get_template("stages.yaml.j2").render(
        least=round(milliseconds * (1 - SPREAD)),
        most=round(milliseconds * (1 + SPREAD)),
        run_seconds=JOB_SECONDS,
    )


def digests(state: State, options: Options) -> dict[str, str]:
    """By program, a digest of the files that it reads only when it starts."""
    read_once = {
        "kube-apiserver": [state.configuration / "audit-policy.yaml"],
        "kube-controller-manager": [state.kubeconfig("kube-controller-manager")],
        "kube-scheduler": [state.kubeconfig("kube-scheduler")],
        "kwok": [state.kubeconfig("kwok"), state.configuration / "stages.yaml"],
    }
    if options.kubeconfig:
        return {}
    return {
        name: sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
        for name, paths in read_once.items()
    }

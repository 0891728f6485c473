"""What a tenant control plane is made of: one ordered list, which provisioners run.

Above the list stand the datastore's share, the credentials and the service range (reconcile.py
obtains them in this order); what is below must find them ready.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vcluster.control_plane import kube_apiserver, kube_controller_manager
from vcluster.control_plane.plan import KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, Plan
from vcluster.provisioners.workload import Workload


@dataclass(frozen=True, slots=True)
class Component:
    """One program of a control plane."""

    name: str
    """Also names its port."""
    needs: tuple[str, ...]
    """The certificates that it presents, by name."""
    render: Callable[[Plan], Workload]
    ready: str
    """The path that answers 200, over TLS on its port, when it is ready."""


# Both start at once: the controller-manager waits for the API server by itself.
COMPONENTS = (
    Component(KUBE_APISERVER, kube_apiserver.NEEDS, kube_apiserver.render, "/readyz"),
    Component(
        KUBE_CONTROLLER_MANAGER,
        kube_controller_manager.NEEDS,
        kube_controller_manager.render,
        "/healthz",
    ),
)

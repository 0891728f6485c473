"""The super cluster as the commands see it: errors are sentences, and tenants are found by name."""

from base64 import b64decode
from http import HTTPStatus
from typing import Any, Self

from kubernetes import client, config

from kube.resources import NAMESPACES, SECRETS, Resource
from vcluster import api
from vcluster.api import Object
from vcluster.cli.connection import Source
from vcluster.cli.output import Failure
from vcluster.control_plane.cluster import ApiError, Cluster, Unreachable
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS


class SuperCluster(Cluster):
    """Raises Failure where the cluster cannot be used at all, ApiError where it refuses one thing."""

    def __init__(self, configuration: Any, source: Source) -> None:
        super().__init__(configuration)
        self.source = source

    @classmethod
    def open(cls, source: Source) -> Self:
        """Connect as the source says; nothing is sent yet."""
        configuration = client.Configuration()
        try:
            config.load_kube_config(
                source.kubeconfig,
                source.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
        except Exception as error:  # The loader stumbles over bad files in every way there is.
            known = isinstance(error, config.ConfigException | OSError)
            why = _first_line(error) if known else "it is not a kubeconfig"
            raise Failure(
                f"{source.kubeconfig} cannot be used: {why}",
                f"kubectl config view --kubeconfig {source.kubeconfig} shows what is in it",
            ) from error
        return cls(configuration, source)

    def find(self, name: str, namespace: str) -> Object:
        """The tenant of that name. Raises Failure that names near ones."""
        found = self.get(VIRTUAL_CLUSTERS, name, namespace)
        if found is None:
            others = [
                f"{tenant['metadata']['namespace']}/{tenant['metadata']['name']}"
                for tenant in self.list(VIRTUAL_CLUSTERS)
            ]
            raise not_found(name, namespace, others)
        return found

    def create_strictly(self, resource: Resource, obj: Object, *, dry_run: bool = False) -> Object:
        """Create; a field that the API does not know is refused. Raises ApiError."""
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        namespace = obj["metadata"].get("namespace", "")
        return self._call("POST", resource.path(namespace), query, obj)

    def ensure_namespace(self, name: str) -> bool:
        """Create a namespace; whether it was missing."""
        try:
            self.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    def select(self, resource: Resource, namespace: str = "", **selectors: str) -> list[Object]:
        """All objects that the selectors (``labelSelector``, ``fieldSelector``) match."""
        return list(self._call("GET", resource.path(namespace), selectors)["items"])

    def kubeconfig_of(self, tenant: Object) -> bytes:
        """The administrator's kubeconfig of a tenant. Raises Failure if it has none yet."""
        status = tenant.get("status") or {}
        name = status.get("kubeconfigSecret")
        secret = self.get(SECRETS, name, status["tenantKey"]) if name else None
        data = ((secret or {}).get("data") or {}).get(api.KUBECONFIG_KEY)
        if not data:
            metadata = tenant["metadata"]
            raise Failure(
                f"tenant {metadata['name']!r} has no kubeconfig yet: "
                f"it is {status.get('phase', 'not looked at by the operator yet')}",
                f"vc describe {metadata['name']} -n {metadata['namespace']} says why",
            )
        return b64decode(data)

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        try:
            return super()._call(method, path, query, body, content_type)
        except Unreachable as error:
            message = f"{self.source.description} does not answer ({error})"
            raise Failure(message, self.source.unreachable_hint) from error
        except ApiError as error:
            if failure := self._unusable(error, path):
                raise failure from error
            raise

    def _unusable(self, error: ApiError, path: str) -> Failure | None:
        described = self.source.description
        if error.status == HTTPStatus.UNAUTHORIZED:
            return Failure(
                f"{described} does not accept your credentials",
                "the kubeconfig may be of an older cluster, or its certificate may have expired",
            )
        if error.status == HTTPStatus.FORBIDDEN:
            return Failure(
                f"{described} does not allow it: {_first_line(error)}",
                "ask its administrator for that right, or name another identity with --kubeconfig",
            )
        # An API that is not served is answered without a Status object, hence without a reason.
        if (
            error.status == HTTPStatus.NOT_FOUND
            and not error.reason
            and path.startswith(f"/apis/{api.GROUP}/")
        ):
            return Failure(
                f"{described} has no tenants: the VirtualCluster CRDs are not installed",
                "vc up installs them; elsewhere: kubectl apply -f charts/virtualcluster/crds; "
                "or name another cluster with --kubeconfig or --context",
            )
        return None


def not_found(name: str, namespace: str, others: list[str]) -> Failure:
    """The failure for a name that is none of a tenant; ``others`` are namespace/name."""
    from difflib import get_close_matches

    elsewhere = [other for other in others if other.endswith(f"/{name}")]
    here = [other.split("/")[1] for other in others if other.startswith(f"{namespace}/")]
    near = get_close_matches(name, here, n=1)
    if elsewhere:
        hint = f"there is one in another namespace: -n {elsewhere[0].split('/')[0]}"
    elif near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = "vc list -A shows all"
    return Failure(f"there is no tenant {name!r} in the namespace {namespace!r}", hint)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]

"""Tenants as the node agent knows them: their authorities, certificates and pods."""

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kube.objects import Object, ObjectKey
from vcluster import api
from vcluster.pki.authority import CertificateAuthority, KeyPair, Subject, Usage, Validity

NODE = "node-1"
NOW = datetime.now(UTC)
YEAR = Validity.lasting(timedelta(days=365), NOW)


def an_authority(name: str = "ca", validity: Validity = YEAR) -> CertificateAuthority:
    return CertificateAuthority.create(name, validity)


@dataclass(frozen=True)
class TenantUnderTest:
    """One tenant."""

    key: str
    authority: CertificateAuthority = field(default_factory=an_authority)

    def client(
        self,
        user: str = api.KUBELET_CLIENT_USER,
        usage: Usage = Usage.CLIENT,
        validity: Validity = YEAR,
    ) -> KeyPair:
        """A certificate of the tenant's own authority."""
        return self.authority.issue(Subject(user), usage, validity)

    def super_namespace(self, namespace: str = "default") -> str:
        return api.super_namespace(self.key, namespace)

    def published(self, **changes: str) -> Object:
        """The ConfigMap that the operator makes."""
        return {
            "metadata": {
                "name": api.CLIENT_CA_CONFIG_MAP,
                "namespace": self.key,
                "uid": f"uid-of-{self.key}-ca",
                "labels": {api.COMPONENT_LABEL: api.CLIENT_CA_COMPONENT} | changes,
            },
            "data": {api.CLIENT_CA_KEY: self.authority.certificate.decode()},
        }

    def super_pod(
        self, name: str = "web", namespace: str = "default", generation: int = 1
    ) -> Object:
        """The mirror of a pod of the tenant; another generation: one of the same name, made anew."""
        return {
            "metadata": {
                "name": name,
                "namespace": self.super_namespace(namespace),
                "uid": uid("super", self.key, namespace, name, generation),
                "labels": {"app": name, api.TENANT_LABEL: self.key, api.BUCKET_LABEL: "7"},
                "annotations": {
                    "mine": "1",
                    api.NAMESPACE_ANNOTATION: namespace,
                    api.NAME_ANNOTATION: name,
                    api.UID_ANNOTATION: uid("tenant", self.key, namespace, name, generation),
                    api.SERVICE_ACCOUNT_ANNOTATION: "builder",
                },
            },
            "spec": {"nodeName": NODE, "containers": [{"name": "web", "image": "web:1"}]},
        }


def uid(*parts: object) -> str:
    """A UID that tells whose it is."""
    text = b64encode("/".join(map(str, parts)).encode()).decode()
    return text.replace("=", "").replace("/", "x").replace("+", "y")[-60:]


def key_of(pod: Object) -> ObjectKey:
    return ObjectKey(pod["metadata"]["namespace"], pod["metadata"]["name"])

"""The provider's ingress classes that tenants may see and use."""

from kube.resources import INGRESS_CLASSES
from syncer.kinds.classes import public_kind

# The parameters name an object of the provider's.
INGRESS_CLASS = public_kind(INGRESS_CLASSES, immutable=("spec",), hidden=("spec.parameters",))

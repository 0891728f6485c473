"""What a tenant's policy says of its pods: the back wall, checked where the super pod is written.

The tenant's own API server refuses the same (templates/tenant/pod-policy.yaml.j2), but a tenant may
switch that off. Here nothing depends on it.
"""

from collections.abc import Iterator, Mapping

from kube.objects import Object
from syncer.kinds import pod_security
from syncer.kinds.mirror import Refused
from syncer.kinds.pod_containers import refuse_reserved_names
from syncer.kinds.pod_security import containers
from vcluster.api import Policy, ResourceRule, Tenant
from vcluster.pod_standards import OWN_VOLUMES

DEFAULT_REGISTRY, DEFAULT_REPOSITORY = "docker.io", "library"
RESERVED_ANNOTATIONS = "kubernetes.io/config."
"""By these a kubelet knows the pods that come from its own files."""


def admitted(super_pod: Object, tenant: Tenant) -> Object:
    """The super pod as the policy completes it. Raises Refused.

    Asked when the super pod is created and never later, as admission is: a policy that has changed
    leaves running pods alone.
    """
    policy, spec = tenant.policy, super_pod["spec"]
    annotations = super_pod["metadata"].get("annotations") or {}
    for refused in (
        *_reserved(annotations),
        *pod_security.refusals(spec, annotations, policy.pod_security),
        *_volumes(spec, policy),
        *_images(spec, policy),
        *denied_tolerations("spec.tolerations", spec, policy),
    ):
        raise refused
    completed = spec | _resources(spec, policy)
    if tenant.runtime_class:
        completed["runtimeClassName"] = _runtime_class(spec.get("runtimeClassName"), tenant)
    if policy.active_deadline_seconds:
        completed["activeDeadlineSeconds"] = _deadline(spec.get("activeDeadlineSeconds"), policy)
    if policy.pod_security != "privileged":
        completed |= _seccomp(spec)
    return super_pod | {"spec": completed}


def refuse_changes(live: Object, change: Object, tenant: Tenant) -> None:
    """Raise Refused for what a patch of a live super pod brings in and the policy forbids."""
    policy, spec = tenant.policy, change.get("spec") or {}
    was: Object = live["spec"]
    there = was.get("tolerations") or ()
    added = [item for item in spec.get("tolerations") or () if item not in there]
    debugging = {field: was[field] for field in ("hostUsers", "os") if field in was} | {
        "securityContext": {
            field: value
            for field, value in (was.get("securityContext") or {}).items()
            if field in ("runAsNonRoot", "runAsUser")
        },
        "ephemeralContainers": spec.get("ephemeralContainers"),
    }
    refuse_reserved_names(spec)
    for refused in (
        *pod_security.refusals(debugging, {}, policy.pod_security),
        *_images(spec, policy),
        *denied_tolerations("spec.tolerations", {"tolerations": added}, policy),
    ):
        raise refused
    if policy.active_deadline_seconds and "activeDeadlineSeconds" in spec:
        _deadline(spec["activeDeadlineSeconds"], policy)


def repository(image: str) -> str:
    """The full name of an image: with its registry, as container runtimes complete it."""
    first, slash, rest = image.partition("/")
    if not slash:
        return f"{DEFAULT_REGISTRY}/{DEFAULT_REPOSITORY}/{image}"
    if first == f"index.{DEFAULT_REGISTRY}":
        return f"{DEFAULT_REGISTRY}/{rest}"
    if "." in first or ":" in first or first == "localhost":
        return image
    return f"{DEFAULT_REGISTRY}/{image}"


def comes_from(image: str, registry: str) -> bool:
    """The image is in the registry, or below the path of one."""
    name = repository(image).partition("@")[0]
    return (
        name == registry
        or name.startswith(f"{registry}/")
        or ("/" in registry and name.startswith(f"{registry}:"))  # else it is another port
    )


def _reserved(annotations: Mapping[str, str]) -> Iterator[Refused]:
    for key in annotations:
        if key.startswith(RESERVED_ANNOTATIONS):
            yield Refused(f"metadata.annotations[{key}]", "ReservedKey", "only kubelets write it")


def _volumes(spec: Object, policy: Policy) -> Iterator[Refused]:
    """Storage is the provider's to give: a node mounts what it is told to, past all isolation."""
    if policy.pod_security == "privileged":
        return
    for volume in spec.get("volumes") or ():
        for kind in sorted(volume.keys() - OWN_VOLUMES - {"name", *policy.volume_types}):
            message = "the node would reach this storage for the pod; name a persistentVolumeClaim"
            yield Refused(f"spec.volumes[{volume['name']}].{kind}", "VolumeNotAllowed", message)


def _images(spec: Object, policy: Policy) -> Iterator[Refused]:
    if not policy.registries:
        return
    images = [(f"{path}.image", item.get("image", "")) for path, item in containers(spec)]
    images += [
        (f"spec.volumes[{volume['name']}].image.reference", volume["image"].get("reference", ""))
        for volume in spec.get("volumes") or ()
        if volume.get("image")
    ]
    for field, image in images:
        if image and not any(comes_from(image, registry) for registry in policy.registries):
            allowed = ", ".join(policy.registries)
            yield Refused(field, "ImageNotAllowed", f"{image!r} must come from one of: {allowed}")


def denied_tolerations(field: str, obj: Object, policy: Policy) -> Iterator[Refused]:
    """Those of ``obj`` (a pod's spec, a request for devices) that the policy does not allow."""
    denied = policy.denied_taints
    for toleration in obj.get("tolerations") or () if denied else ():
        key = toleration.get("key")
        if not key:
            message = f"one without a key tolerates every taint, and none may tolerate {denied[0]}"
            yield Refused(field, "TolerationDenied", message)
        elif key in denied:
            yield Refused(field, "TolerationDenied", f"{key!r} may not be tolerated")


def _runtime_class(own: str | None, tenant: Tenant) -> str:
    if own and own != tenant.runtime_class:
        message = (
            f"{own!r} is not allowed: all pods run with {tenant.runtime_class!r}; leave it out"
        )
        raise Refused("spec.runtimeClassName", "NotOffered", message)
    return tenant.runtime_class


def _deadline(own: int | None, policy: Policy) -> int | None:
    longest = policy.active_deadline_seconds
    if own is not None and longest is not None and own > longest:
        message = f"{own} is too long: it must be at most {longest}"
        raise Refused("spec.activeDeadlineSeconds", "DeadlineTooLong", message)
    return longest if own is None else own


def _resources(spec: Object, policy: Policy) -> Object:
    """The containers with their default resources. Raises Refused."""
    if policy.requests == policy.limits == ResourceRule():
        return {}
    return {
        kind: [
            _with_resources(f"spec.{kind}[{item['name']}]", item, spec, policy)
            for item in spec[kind]
        ]
        for kind in ("initContainers", "containers")
        if kind in spec
    }


def _with_resources(path: str, item: Object, spec: Object, policy: Policy) -> Object:
    """The container with its default resources. What the pod says as a whole needs no container."""
    resources = dict(item.get("resources") or {})
    for field, rule in (("limits", policy.limits), ("requests", policy.requests)):
        own = resources.get(field) or {}
        of_pod = (spec.get("resources") or {}).get(field) or {}
        given = {key: value for key, value in rule.defaults.items() if key not in of_pod} | own
        if given:
            resources[field] = given
        for name in rule.required:
            if name not in given and name not in of_pod:
                raise Refused(
                    f"{path}.resources.{field}.{name}", "ResourcesRequired", "is required"
                )
    return item | {"resources": resources} if resources else item


def _seccomp(spec: Object) -> Object:
    """The runtime's own filter of system calls, where the pod asks for no other."""
    context: Object = spec.get("securityContext") or {}
    if context.get("seccompProfile") or (spec.get("os") or {}).get("name") == "windows":
        return {}
    return {"securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}}}

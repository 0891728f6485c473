"""What the templates of a tenant's own objects are rendered from. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from vcluster import api, pod_standards
from vcluster.api import Object
from vcluster.sync import Sync

TEMPLATES = (
    "tenant/rbac.yaml.j2",
    "tenant/flow-control.yaml.j2",
    "tenant/pod-policy.yaml.j2",
    "tenant/node-policy.yaml.j2",
)


def values(effective: Mapping[str, Any]) -> Object:
    """From ``status.effective``, and what the Pod Security Standard in it allows by name."""
    policy = effective["policy"]
    capabilities = (
        pod_standards.RESTRICTED_CAPABILITIES
        if policy["podSecurity"] == "restricted"
        else pod_standards.BASELINE_CAPABILITIES
    )
    return {
        "admin_group": api.ADMIN_GROUP,
        "syncer_group": api.SYNCER_GROUP,
        "quota_config_map": api.QUOTA_CONFIG_MAP,
        "policy": policy,
        "sync": msgspec.convert(effective.get("sync", {}), Sync),
        "runtime_class": effective["scheduling"].get("runtimeClassName", ""),
        "sysctls": sorted(pod_standards.SAFE_SYSCTLS),
        "selinux_types": sorted(pod_standards.SELINUX_TYPES),
        "capabilities": sorted(capabilities),
        "volume_types": sorted(pod_standards.RESTRICTED_VOLUMES),
        "own_volumes": sorted({*pod_standards.OWN_VOLUMES, *policy.get("volumeTypes", ())}),
    }

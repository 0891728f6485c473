"""What a tenant changes on a pod that exists, as patches of the super pod."""

import copy
from typing import Any

import msgspec

from kube.objects import Object
from syncer.kinds.pod_update import patches
from tests.unit.kinds.builders import ACME, SUPER_UID
from tests.unit.kinds.pod_builders import OFFERS, a_container, a_pod, live_mirror, patched
from vcluster import api
from vcluster.api import Tenant

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def bodies(live: Object, pod: Object, tenant: Tenant = ACME) -> dict[str, Object]:
    """The patches' bodies by subresource; what is given is left alone."""
    before = copy.deepcopy((live, pod))
    found = patches(live, pod, tenant, OFFERS)
    assert (live, pod) == before
    assert [patch.subresource for patch in found][-1] == ""
    return {patch.subresource: patch.body for patch in found}


def spec_patch(before: Object, after: Object, **live_spec: Any) -> Object | None:
    """The patch of the spec, for a live pod that has had more put into it in the super cluster."""
    live = live_mirror(before)
    live["spec"] |= live_spec
    found: Object | None = bodies(live, after)[""].get("spec")
    return found


def test_without_a_change_only_the_uid_is_sent() -> None:
    pod = a_pod()
    assert bodies(live_mirror(pod), pod) == {"": {"metadata": {"uid": SUPER_UID}}}


def test_no_patch_has_the_digest_since_it_is_written_only_when_all_went_well() -> None:
    live = live_mirror(a_pod())
    changed = a_pod(labels={"a": "b"}, containers=[a_container(resources={"limits": {"cpu": "1"}})])
    found = bodies(live, changed)
    assert set(found) == {"resize", ""}
    assert api.DIGEST_ANNOTATION not in str(found)


# Metadata.


def test_labels_come_and_go_and_those_of_others_stay() -> None:
    live = live_mirror(a_pod(labels={"app": "old", "drop": "me"}))
    live["metadata"]["labels"] |= {"of-a-webhook": "yes"}
    change = bodies(live, a_pod(labels={"app": "new", "more": "x"}))[""]["metadata"]["labels"]
    assert change == {"app": "new", "more": "x", "drop": None}


def test_annotations_come_and_go_and_those_of_others_stay() -> None:
    before, after = a_pod(), a_pod()
    before["metadata"]["annotations"] = {"keep": "1", "drop": "me"}
    after["metadata"]["annotations"] = {"keep": "2"}
    live = live_mirror(before)
    live["metadata"]["annotations"] |= {"of-a-webhook": "yes"}
    change = bodies(live, after)[""]["metadata"]["annotations"]
    ours = {key: value for key, value in change.items() if not key.startswith(api.PREFIX)}
    assert ours == {"keep": "2", "drop": None}


def test_the_mirror_says_which_generation_it_shows() -> None:
    after = a_pod(activeDeadlineSeconds=5)
    after["metadata"]["generation"] = 2
    change = bodies(live_mirror(a_pod()), after)[""]["metadata"]["annotations"]
    assert change[api.GENERATION_ANNOTATION] == "2"


# Images, deadline.


def test_only_the_images_that_changed_are_sent_and_sidecars_of_others_stay() -> None:
    before = a_pod(
        initContainers=[a_container("init")], containers=[a_container("a"), a_container("b")]
    )
    after = copy.deepcopy(before)
    after["spec"]["containers"][1]["image"] = "example.com/main:2"
    sidecar = a_container("of-a-webhook", image="example.com/sidecar:1")
    live = live_mirror(before)
    live["spec"]["containers"].append(sidecar)
    body = bodies(live, after)[""]
    assert body["spec"] == {"containers": [{"name": "b", "image": "example.com/main:2"}]}
    images = [item["image"] for item in patched(live, body)["spec"]["containers"]]
    assert images == ["example.com/main:1", "example.com/main:2", "example.com/sidecar:1"]


def test_an_init_containers_image_is_sent_too() -> None:
    found = spec_patch(
        a_pod(initContainers=[a_container("i")]),
        a_pod(initContainers=[a_container("i", image="example.com/main:2")]),
    )
    assert found == {"initContainers": [{"name": "i", "image": "example.com/main:2"}]}


def test_a_deadline_is_set_and_shortened() -> None:
    assert spec_patch(a_pod(), a_pod(activeDeadlineSeconds=60)) == {"activeDeadlineSeconds": 60}
    shorter = spec_patch(a_pod(activeDeadlineSeconds=60), a_pod(activeDeadlineSeconds=0))
    assert shorter == {"activeDeadlineSeconds": 0}


# Tolerations: the API server takes additions and other times, nothing else.

A = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
B = {"key": "b", "operator": "Exists"}
OF_A_WEBHOOK = {"key": "nvidia.com/gpu", "operator": "Exists"}


def test_a_toleration_is_added_after_those_of_others() -> None:
    found = spec_patch(
        a_pod(tolerations=[A]), a_pod(tolerations=[A, B]), tolerations=[A, OF_A_WEBHOOK]
    )
    assert found == {"tolerations": [A, OF_A_WEBHOOK, B]}


def test_a_toleration_that_others_added_is_no_difference() -> None:
    pod = a_pod(tolerations=[A])
    assert spec_patch(pod, pod, tolerations=[A, OF_A_WEBHOOK]) is None


def test_another_time_replaces_the_old_one_since_the_shortest_would_hold() -> None:
    longer = A | {"tolerationSeconds": 600}
    found = spec_patch(
        a_pod(tolerations=[A, B]), a_pod(tolerations=[longer, B]), tolerations=[A, OF_A_WEBHOOK, B]
    )
    assert found == {"tolerations": [longer, OF_A_WEBHOOK, B]}


# Gates.


def gated(*names: str, **spec: Any) -> Object:
    return a_pod(schedulingGates=[{"name": name} for name in names], **spec)


def test_a_gate_goes_and_the_super_clusters_own_gate_stays() -> None:
    live = live_mirror(gated("a/mine", "a/other"))
    live["spec"]["schedulingGates"].append({"name": "kueue.x-k8s.io/topology"})
    body = bodies(live, gated("a/other"))[""]
    assert body["spec"] == {"schedulingGates": [{"name": "a/mine", "$patch": "delete"}]}
    assert body["metadata"]["annotations"][api.SCHEDULING_GATES_ANNOTATION] == "a/other"


def test_the_last_gate_goes() -> None:
    found = spec_patch(gated("a/mine"), a_pod())
    assert found == {"schedulingGates": [{"name": "a/mine", "$patch": "delete"}]}


def test_a_gate_that_is_gone_below_already_is_not_removed_again() -> None:
    live = live_mirror(gated("a/mine"))
    live["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/topology"}]
    assert "spec" not in bodies(live, a_pod())[""]


def test_a_gated_pod_can_be_narrowed_to_more_node_labels_and_those_of_others_stay() -> None:
    found = spec_patch(
        gated("a/mine", nodeSelector={"zone": "a"}),
        gated("a/mine", nodeSelector={"zone": "a", "disk": "ssd"}),
        nodeSelector={"zone": "a", "of-a-webhook": "yes"},
    )
    assert found == {"nodeSelector": {"disk": "ssd"}}


def _nodes(*expressions: Object) -> Object:
    term = {"matchExpressions": list(expressions)}
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}


ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
DISK = {"key": "disk", "operator": "In", "values": ["ssd"]}


def test_a_gated_pod_can_be_narrowed_by_node_affinity_and_only_that_is_sent() -> None:
    """An API server refuses any change of the affinity between pods."""
    pods = {"podAffinity": {REQUIRED: [{"topologyKey": "zone", "labelSelector": {}}]}}
    live = live_mirror(gated("a/mine", affinity=_nodes(ZONE) | pods))
    live["spec"]["affinity"]["podAffinity"][REQUIRED][0]["labelSelector"] = {"merged": "below"}
    body = bodies(live, gated("a/mine", affinity=_nodes(ZONE, DISK) | pods))[""]
    assert list(body["spec"]["affinity"]) == ["nodeAffinity"]
    affinity = patched(live, body)["spec"]["affinity"]
    assert affinity["nodeAffinity"] == _nodes(ZONE, DISK)["nodeAffinity"]
    assert affinity["podAffinity"][REQUIRED][0]["labelSelector"] == {"merged": "below"}


def test_what_is_added_to_a_gated_pods_affinity_comes_after_what_is_there() -> None:
    """An API server compares the beginning of each list with the old one."""
    pooled = msgspec.structs.replace(ACME, node_selector={"pool": "gpu"})
    live = live_mirror(gated("a/mine", affinity=_nodes(ZONE)), pooled)
    body = bodies(live, gated("a/mine", affinity=_nodes(ZONE, DISK)), pooled)[""]
    (old,), (new,) = (
        pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        for pod in (live, patched(live, body))
    )
    assert new["matchExpressions"] == [*old["matchExpressions"], DISK]


def test_a_pod_without_gates_keeps_its_place() -> None:
    live = live_mirror(a_pod())
    changed = a_pod(nodeSelector={"zone": "a"}, affinity=_nodes(ZONE))
    assert "spec" not in bodies(live, changed)[""]


# Resize.


def test_a_resize_sends_what_changed_through_its_subresource() -> None:
    before = a_pod(
        containers=[
            a_container("a", resources={"requests": {"cpu": "1", "memory": "1Gi"}}),
            a_container("b", resources={"limits": {"cpu": "1"}}),
        ]
    )
    after = copy.deepcopy(before)
    after["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2"
    found = bodies(live_mirror(before), after)
    resources = {"requests": {"cpu": "2"}}
    assert found["resize"] == {"spec": {"containers": [{"name": "a", "resources": resources}]}}
    assert "spec" not in found[""], "the pod's main resource does not take it"


def test_resources_that_the_super_cluster_has_set_stay() -> None:
    before = a_pod(containers=[a_container(resources={"requests": {"cpu": "1"}})])
    live = live_mirror(before)
    live["spec"]["containers"][0]["resources"]["limits"] = {"memory": "1Gi"}
    assert "resize" not in bodies(live, before)
    after = a_pod(containers=[a_container(resources={"requests": {"cpu": "2"}})])
    result = patched(live, bodies(live, after)["resize"])["spec"]["containers"][0]
    assert result["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}
    assert result["image"] == "example.com/main:1"


def test_a_whole_pod_and_its_sidecars_are_resized() -> None:
    init = a_container("sidecar", restartPolicy="Always")
    before = a_pod(initContainers=[init], resources={"requests": {"cpu": "1"}})
    more = {"requests": {"cpu": "2"}}
    after = a_pod(initContainers=[init | {"resources": more}], resources=more)
    assert bodies(live_mirror(before), after)["resize"] == {
        "spec": {"initContainers": [{"name": "sidecar", "resources": more}], "resources": more}
    }


# Debug containers.


def test_a_debug_container_is_added_with_the_tenants_environment() -> None:
    live = live_mirror(a_pod())
    live["spec"]["ephemeralContainers"] = [a_container("of-an-administrator")]
    first, second = (a_container(name, targetContainerName="main") for name in ("one", "two"))
    body = bodies(live, a_pod(ephemeralContainers=[first, second]))["ephemeralcontainers"]
    names = [item["name"] for item in body["spec"]["ephemeralContainers"]]
    assert names == ["one", "two"]
    added = body["spec"]["ephemeralContainers"][0]
    assert added["targetContainerName"] == "main"
    assert "KUBERNETES_SERVICE_HOST" in [variable["name"] for variable in added["env"]]
    live = patched(live, body)
    assert len(live["spec"]["ephemeralContainers"]) == 3
    third = a_container("three")
    body = bodies(live, a_pod(ephemeralContainers=[first, second, third]))["ephemeralcontainers"]
    assert [item["name"] for item in body["spec"]["ephemeralContainers"]] == ["three"]


def test_all_parts_of_one_change_go_together_and_then_nothing_is_left() -> None:
    live = live_mirror(gated("a/mine"))
    after = a_pod(
        labels={"a": "b"},
        activeDeadlineSeconds=9,
        containers=[a_container(image="example.com/main:2", resources={"limits": {"cpu": "1"}})],
        ephemeralContainers=[a_container("debug")],
        tolerations=[B],
    )
    for patch in patches(live, after, ACME, OFFERS):
        live = patched(live, patch.body)
    live["spec"].pop("schedulingGates", None)
    assert bodies(live, after) == {"": {"metadata": {"uid": SUPER_UID}}}

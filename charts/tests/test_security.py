"""Every pod passes the restricted Pod Security Standard, and holds no more than it needs.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from charts.tests.rendering import Helm, Object, Objects, named, of_kind, pods

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


SECCOMP = ("RuntimeDefault", "Localhost")


def violations(pod: Object) -> list[str]:
    """What the restricted standard refuses in a pod."""
    spec = pod["spec"]
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
    found += [f"volume {kind}" for kind in kinds - ALLOWED_VOLUMES]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        found += [name for name, refused in REFUSED if refused(spec.get("securityContext", {}), container)]
    return found


REFUSED: list[tuple[str, Callable[[Object, Object], bool]]] = [
    ("sysctls", lambda pod, _: bool(pod.get("sysctls"))),
    ("privileged", lambda _, own: bool(context(own).get("privileged"))),
    ("allowPrivilegeEscalation", lambda _, own: context(own).get("allowPrivilegeEscalation") is not False),
    ("capabilities", lambda _, own: not drops_all(context(own).get("capabilities", {}))),
    ("runAsNonRoot", lambda pod, own: (pod | context(own)).get("runAsNonRoot") is not True),
    ("runAsUser", lambda pod, own: (pod | context(own)).get("runAsUser") == 0),
    ("seccompProfile", lambda pod, own: (pod | context(own)).get("seccompProfile", {}).get("type") not in SECCOMP),
    ("hostPort", lambda _, own: any("hostPort" in port for port in own.get("ports", []))),
]


def context(container: Object) -> Object:
    own: Object = container.get("securityContext", {})
    return own


def drops_all(capabilities: Object) -> bool:
    return "ALL" in capabilities.get("drop", []) and not set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}


def test_every_pod_passes_the_restricted_standard(objects: Objects) -> None:
    assert {name: found for name, pod in pods(objects) if (found := violations(pod))} == {}


RELAXED: list[tuple[str, Callable[[Object], Any]]] = [
    ("hostNetwork", lambda spec: spec.update(hostNetwork=True)),
    ("volume hostPath", lambda spec: spec["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
    ("privileged", lambda spec: spec["containers"][0]["securityContext"].update(privileged=True)),
    ("allowPrivilegeEscalation", lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation")),
    ("capabilities", lambda spec: spec["containers"][0]["securityContext"]["capabilities"].update(add=["SYS_TIME"])),
    ("runAsNonRoot", lambda spec: spec["securityContext"].pop("runAsNonRoot")),
    ("seccompProfile", lambda spec: spec["securityContext"].pop("seccompProfile")),
    ("hostPort", lambda spec: spec["containers"][0]["ports"][0].update(hostPort=80)),
]


@pytest.mark.parametrize(("expected", "relax"), RELAXED, ids=[name for name, _ in RELAXED])
def test_a_pod_that_the_standard_refuses_would_be_noticed(
    helm: Helm, expected: str, relax: Callable[[Object], Any]
) -> None:
    pod = copy.deepcopy(named(helm.render(), "Deployment", "details-v1")["spec"]["template"])
    relax(pod["spec"])
    assert violations(pod) == [expected]


def test_no_pod_writes_to_its_image_nor_talks_to_kubernetes(objects: Objects) -> None:
    for name, pod in pods(objects):
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name


def test_no_pod_insists_on_a_user_id(objects: Objects) -> None:
    """Platforms that give every namespace a range of its own refuse any other."""
    for name, pod in pods(objects):
        assert "runAsUser" not in str(pod["spec"]), name


def test_every_service_has_a_writable_tmp(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        mounted = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert {"name": mounted["/tmp"], "emptyDir": {}} in spec["volumes"]


def test_every_container_says_what_it_needs_and_how_much_memory_it_may_take(objects: Objects) -> None:
    for name, pod in pods(objects):
        for container in pod["spec"]["containers"]:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_every_service_runs_as_itself(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        service = deployment["spec"]["selector"]["matchLabels"]["app"]
        account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
        assert account == f"bookinfo-{service}"
        assert named(objects, "ServiceAccount", account)["metadata"]["labels"]["account"] == service

"""Every pod complies with the restricted Pod Security Standard and has minimal privileges.

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


SECCOMP_PROFILES = ("RuntimeDefault", "Localhost")


def violations(pod: Object) -> list[str]:
    """Return the fields of a pod that violate the restricted standard."""
    spec = pod["spec"]
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
    found += [f"volume {kind}" for kind in kinds - ALLOWED_VOLUMES]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        found += [name for name, violates in RULES if violates(spec.get("securityContext", {}), container)]
    return found


RULES: list[tuple[str, Callable[[Object, Object], bool]]] = [
    ("sysctls", lambda pod, _: bool(pod.get("sysctls"))),
    ("privileged", lambda _, container: bool(context(container).get("privileged"))),
    ("allowPrivilegeEscalation", lambda _, container: context(container).get("allowPrivilegeEscalation") is not False),
    ("capabilities", lambda _, container: not drops_all(context(container).get("capabilities", {}))),
    ("runAsNonRoot", lambda pod, container: (pod | context(container)).get("runAsNonRoot") is not True),
    ("runAsUser", lambda pod, container: (pod | context(container)).get("runAsUser") == 0),
    (
        "seccompProfile",
        lambda pod, container: (pod | context(container)).get("seccompProfile", {}).get("type") not in SECCOMP_PROFILES,
    ),
    ("hostPort", lambda _, container: any("hostPort" in port for port in container.get("ports", []))),
]


def context(container: Object) -> Object:
    security_context: Object = container.get("securityContext", {})
    return security_context


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
def test_pod_that_violates_the_standard_is_detected(helm: Helm, expected: str, relax: Callable[[Object], Any]) -> None:
    pod = copy.deepcopy(named(helm.render(), "Deployment", "details-v1")["spec"]["template"])
    relax(pod["spec"])
    assert violations(pod) == [expected]


def test_pods_have_a_read_only_root_and_no_kubernetes_token(objects: Objects) -> None:
    for name, pod in pods(objects):
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name


def test_no_pod_sets_a_user_id(objects: Objects) -> None:
    """Platforms that assign a range of user ids to each namespace, such as OpenShift, reject other user ids."""
    for name, pod in pods(objects):
        assert "runAsUser" not in str(pod["spec"]), name


def test_every_service_mounts_a_writable_tmp(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        mounted = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert {"name": mounted["/tmp"], "emptyDir": {}} in spec["volumes"]


def test_every_container_has_requests_and_a_memory_limit(objects: Objects) -> None:
    for name, pod in pods(objects):
        for container in pod["spec"]["containers"]:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_every_service_has_its_own_service_account(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        service = deployment["spec"]["selector"]["matchLabels"]["app"]
        account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
        assert account == f"bookinfo-{service}"
        assert named(objects, "ServiceAccount", account)["metadata"]["labels"]["account"] == service

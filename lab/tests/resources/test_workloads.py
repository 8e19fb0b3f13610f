"""Kubernetes objects as the lab reads them. The errors are in the golden files of test_error_messages.py."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from bookinfo_lab.resources import workloads
from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.images import Image
from bookinfo_lab.resources.workloads import Deployment, Workloads

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1}
spec:
  selector: {matchLabels: {app: reviews}}
  template:
    metadata: {labels: {app: reviews, version: v1}}
    spec:
      containers:
        - name: reviews
          image: docker.io/istio/examples-bookinfo-reviews-v1:1.20.3
          ports: [{containerPort: 9080}]
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  ports: [{port: 80, targetPort: http}]
  selector: {app: reviews}
"""

SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: session}
stringData: {secret: "$(plain)"}
data: {encoded: aGVsbG8=}
"""


@pytest.fixture
def parse(known_images: Mapping[str, Image]):
    def read(*texts: str) -> Workloads:
        documents = [document for text in texts for document in read_documents(text, "app.yaml")]
        return workloads.parse(documents, known_images)

    return read


@pytest.fixture
def deployment(parse):
    def read(old: str = "", new: str = "", *others: str) -> Deployment:
        assert old in DEPLOYMENT
        return parse(DEPLOYMENT.replace(old, new, 1), *others).deployments[0]

    return read


def env(text: str) -> tuple[str, str]:
    """An edit that gives the container this environment."""
    return "          ports:", f"          env: {text}\n          ports:"


def environment(deployment: Deployment) -> dict[str, str]:
    return workloads.environment(deployment, workloads.pod(deployment, "127.64.0.9"))


def test_the_projects_own_file_says_six_workloads_and_four_services(parse, repository: Path) -> None:
    read = parse((repository / "kubernetes/bookinfo.yaml").read_text())
    assert [item.name for item in read.deployments] == [
        "details-v1",
        "ratings-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
        "productpage-v1",
    ]
    assert [item.name for item in read.services] == ["details", "ratings", "reviews", "productpage"]
    assert {item.service_account for item in read.deployments} == {
        "bookinfo-details",
        "bookinfo-ratings",
        "bookinfo-reviews",
        "bookinfo-productpage",
    }


def test_a_pods_fields_come_from_the_template(deployment) -> None:
    read = deployment()
    assert (read.name, read.namespace, read.replicas, read.sidecar) == ("reviews-v1", "default", 1, True)
    assert read.labels == {"app": "reviews", "version": "v1"}
    assert read.service_account == "default"
    assert read.ports == {"9080": 9080}
    assert read.image.package == "bookinfo_reviews"


def test_a_pod_is_named_as_kubernetes_names_it_and_waits_to_become_ready(deployment) -> None:
    pod = workloads.pod(deployment(), "127.64.0.9")
    assert re.fullmatch(r"reviews-v1-[0-9a-f]{10}-[a-z0-9]{5}", pod.name)
    assert pod.address == "127.64.0.9"
    assert not pod.ready


def test_the_template_hash_changes_with_the_template_and_not_with_the_replicas(deployment) -> None:
    assert deployment().template_hash == deployment("spec:\n", "spec:\n  replicas: 3\n").template_hash
    assert deployment().template_hash != deployment(*env("[{name: A, value: b}]")).template_hash


def test_replicas_are_read(deployment) -> None:
    assert deployment("spec:\n", "spec:\n  replicas: 3\n").replicas == 3


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_injection_is_switched_off_by_label_or_annotation(deployment, where: str) -> None:
    off = '{sidecar.istio.io/inject: "false"'
    edits = {
        "labels": ("labels: {app", f"labels: {off}, app"),
        "annotations": ("metadata: {labels", f"metadata: {{annotations: {off}}}, labels"),
    }
    assert not deployment(*edits[where]).sidecar


def test_the_deployments_environment_wins_over_the_images(deployment) -> None:
    assert environment(deployment())["VERSION"] == "v1"
    assert environment(deployment(*env("[{name: VERSION, value: v2}]")))["VERSION"] == "v2"


def test_fields_of_the_pod_reach_its_environment(deployment) -> None:
    read = deployment(
        *env(
            "[{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}},"
            " {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},"
            " {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]"
        )
    )
    pod = workloads.pod(read, "127.64.0.9")
    found = workloads.environment(read, pod)
    assert (found["POD"], found["NAMESPACE"], found["IP"]) == (pod.name, "default", "127.64.0.9")


def test_a_value_may_refer_to_variables_before_it(deployment) -> None:
    read = deployment(
        *env('[{name: A, value: "1"}, {name: B, value: "$(A)$(C)$$(A)"}, {name: C, value: "2"}]'),
    )
    assert environment(read)["B"] == "1$(C)$(A)"


def test_a_secrets_value_is_taken_as_it_is(deployment) -> None:
    for key, value in (("secret", "$(plain)"), ("encoded", "hello")):
        reference = f"[{{name: S, valueFrom: {{secretKeyRef: {{name: session, key: {key}}}}}}}]"
        assert environment(deployment(*env(reference), SECRET))["S"] == value


def test_an_optional_secret_that_is_not_there_leaves_its_variable_unset(deployment) -> None:
    read = deployment(*env("[{name: S, valueFrom: {secretKeyRef: {name: none, key: k, optional: true}}}]"))
    assert "S" not in environment(read)


def test_a_secret_is_not_shown_with_what_uses_it(deployment) -> None:
    read = deployment(*env("[{name: S, valueFrom: {secretKeyRef: {name: session, key: encoded}}}]"), SECRET)
    assert "hello" not in repr(read)


def test_ignored_fields_are_accepted_and_listed(deployment) -> None:
    read = deployment(
        "          ports:", "          livenessProbe: {anything: goes}\n          resources: {}\n          ports:"
    )
    assert read.ignored_fields == (
        "spec.template.spec.containers[0].livenessProbe",
        "spec.template.spec.containers[0].resources",
    )


def test_a_services_port_is_its_target_unless_another_is_named(parse) -> None:
    (port,) = parse(SERVICE).services[0].ports
    assert (port.number, port.target_port) == (80, "http")
    (port,) = parse(SERVICE.replace(", targetPort: http", "")).services[0].ports
    assert (port.number, port.target_port) == (80, 80)


ORIGINAL = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: reviews-v2
  labels: {app: reviews, version: v2}
spec:
  replicas: 1
  selector: {matchLabels: {app: reviews, version: v2}}
  template:
    metadata: {labels: {app: reviews, version: v2}}
    spec:
      containers:
      - name: reviews
        image: docker.io/istio/examples-bookinfo-reviews-v2:1.20.3
        imagePullPolicy: IfNotPresent
        env:
        - {name: LOG_DIR, value: "/tmp/logs"}
        ports:
        - containerPort: 9080
        volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: wlp-output, mountPath: /opt/ibm/wlp/output}
      volumes:
      - {name: wlp-output, emptyDir: {}}
      - {name: tmp, emptyDir: {}}
"""


def test_a_deployment_in_the_form_of_the_original_sample_runs_unchanged(parse) -> None:
    (read,) = parse(ORIGINAL).deployments
    assert environment(read) == {"VERSION": "v2", "LOG_DIR": "/tmp/logs"}

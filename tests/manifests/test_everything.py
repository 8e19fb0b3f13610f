"""What holds for every manifest: the schemas, and what no schema says."""

import re
from collections import Counter

import pytest
from charts.tests.test_security import violations
from charts.tests.validation import KUBERNETES, schema_errors

from .conftest import EVERYTHING, HELM_VALUES, ROOT, Manifest

PODS = [manifest for manifest in EVERYTHING if manifest.body["kind"] == "Deployment"]
# Istio gives a gateway its image, and more besides, when it makes the pod.
INJECTED = "auto"


@pytest.mark.parametrize("manifest", EVERYTHING, ids=str)
def test_it_has_the_fields_that_its_api_has(manifest: Manifest) -> None:
    assert {version: found for version in KUBERNETES if (found := schema_errors(manifest.body, version))} == {}


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_its_pods_pass_the_restricted_standard(manifest: Manifest) -> None:
    assert violations(manifest.body["spec"]["template"]) == []


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_its_images_are_of_an_exact_version(manifest: Manifest) -> None:
    images = [container["image"] for container in manifest.body["spec"]["template"]["spec"]["containers"]]
    for image in images:
        assert image == INJECTED or re.search(r":v?[0-9][\w.-]*$", image), image


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_its_selector_finds_its_own_pods(manifest: Manifest) -> None:
    spec = manifest.body["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_every_service_finds_pods() -> None:
    labels = [
        (pod.body["metadata"].get("namespace"), pod.body["spec"]["template"]["metadata"]["labels"]) for pod in PODS
    ]
    for manifest in EVERYTHING:
        if manifest.body["kind"] == "Service" and (selector := manifest.body["spec"].get("selector")):
            namespace = manifest.body["metadata"].get("namespace")
            assert any(where == namespace and selector.items() <= found.items() for where, found in labels), manifest


def test_every_pod_runs_as_a_service_account_that_there_is() -> None:
    accounts = {
        (manifest.body["metadata"].get("namespace"), manifest.body["metadata"]["name"])
        for manifest in EVERYTHING
        if manifest.body["kind"] == "ServiceAccount"
    }
    used = {
        (pod.body["metadata"].get("namespace"), pod.body["spec"]["template"]["spec"]["serviceAccountName"])
        for pod in PODS
    }
    assert used <= accounts


def test_no_file_has_an_object_twice() -> None:
    count = Counter(str(manifest) for manifest in EVERYTHING)
    assert [name for name, times in count.items() if times > 1] == []


def test_what_is_not_an_object_is_named() -> None:
    assert all((ROOT / file).is_file() for file in HELM_VALUES)

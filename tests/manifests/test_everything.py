"""Checks of every manifest: schemas, and rules that no schema contains."""

import re
from collections import Counter

import pytest
from charts.tests.test_security import violations
from charts.tests.validation import KUBERNETES, schema_errors

from .conftest import EVERYTHING, HELM_VALUES, ROOT, Manifest

PODS = [manifest for manifest in EVERYTHING if manifest.body["kind"] == "Deployment"]
# Istio sets the image of a gateway's pod when it injects the proxy.
INJECTED = "auto"


@pytest.mark.parametrize("manifest", EVERYTHING, ids=str)
def test_manifest_matches_the_schema(manifest: Manifest) -> None:
    assert {version: found for version in KUBERNETES if (found := schema_errors(manifest.body, version))} == {}


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_pods_meet_the_restricted_standard(manifest: Manifest) -> None:
    assert violations(manifest.body["spec"]["template"]) == []


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_images_have_an_exact_version(manifest: Manifest) -> None:
    images = [container["image"] for container in manifest.body["spec"]["template"]["spec"]["containers"]]
    for image in images:
        assert image == INJECTED or re.search(r":v?[0-9][\w.-]*$", image), image


@pytest.mark.parametrize("manifest", PODS, ids=str)
def test_selector_matches_its_own_pods(manifest: Manifest) -> None:
    spec = manifest.body["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_every_service_selects_pods() -> None:
    labels = [
        (pod.body["metadata"].get("namespace"), pod.body["spec"]["template"]["metadata"]["labels"]) for pod in PODS
    ]
    for manifest in EVERYTHING:
        if manifest.body["kind"] == "Service" and (selector := manifest.body["spec"].get("selector")):
            namespace = manifest.body["metadata"].get("namespace")
            assert any(where == namespace and selector.items() <= found.items() for where, found in labels), manifest


def test_service_account_of_every_pod_exists() -> None:
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


def test_no_object_is_defined_twice() -> None:
    count = Counter(str(manifest) for manifest in EVERYTHING)
    assert [name for name, times in count.items() if times > 1] == []


def test_excluded_files_exist() -> None:
    assert all((ROOT / file).is_file() for file in HELM_VALUES)

"""A scenario is for a mesh in which somebody heeds its objects.

https://istio.io/latest/docs/ambient/usage/ says what a waypoint heeds; ztunnel heeds identities alone.
"""

import pytest

from bookinfo_lab.resources.documents import Document
from bookinfo_lab.scenarios.definitions import SCENARIOS
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Mesh, Scenario

from .conftest import ROOT

FOR_SIDECARS = {"EnvoyFilter", "Sidecar"}
AT_THE_EDGE = {"istio": "ingressgateway"}


def documents(scenario: Scenario) -> list[Document]:
    named = [*scenario.given, *scenario.without]
    named += [manifest for step in scenario.steps for manifest in (*step.apply, *step.delete)]
    return Manifests(ROOT).documents(dict.fromkeys(named))


def is_heeded_without_a_waypoint(document: Document) -> bool:
    """By Kubernetes, by ztunnel, or by the gateway, which is an Envoy in every mesh."""
    if ".istio.io" not in document.api_version:
        return True
    spec = document.body["spec"]
    return document.kind == "PeerAuthentication" or spec.get("selector", {}).get("matchLabels") == AT_THE_EDGE


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_only_sidecars_heed_is_checked_with_sidecars_alone(scenario: Scenario) -> None:
    if FOR_SIDECARS & {document.kind for document in documents(scenario)}:
        assert scenario.meshes == (Mesh.SIDECAR,)
    else:
        assert Mesh.AMBIENT in scenario.meshes


@pytest.mark.parametrize(
    "scenario", [item for item in SCENARIOS if Mesh.L4 in item.meshes], ids=lambda scenario: scenario.name
)
def test_what_is_checked_without_a_waypoint_takes_none(scenario: Scenario) -> None:
    assert all(map(is_heeded_without_a_waypoint, documents(scenario)))


@pytest.mark.parametrize(
    "scenario", [item for item in SCENARIOS if Mesh.NONE in item.meshes], ids=lambda scenario: scenario.name
)
def test_what_is_checked_without_a_mesh_is_kubernetes_own(scenario: Scenario) -> None:
    assert not any(".istio.io" in document.api_version for document in documents(scenario))


def test_there_is_something_for_every_mesh() -> None:
    for mesh in Mesh:
        assert any(mesh in scenario.meshes for scenario in SCENARIOS)

"""A scenario names only meshes in which its objects have an effect.

https://istio.io/latest/docs/ambient/usage/ lists the fields that a waypoint supports. ztunnel supports only identities.
"""

import pytest

from bookinfo_lab.resources.documents import Document
from bookinfo_lab.scenarios.definitions import SCENARIOS
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Mesh, Scenario

from .conftest import ROOT

SIDECAR_KINDS = {"EnvoyFilter", "Sidecar"}
GATEWAY_LABELS = {"istio": "ingressgateway"}


def documents(scenario: Scenario) -> list[Document]:
    used = [*scenario.setup, *scenario.removed]
    used += [manifest for step in scenario.steps for manifest in (*step.apply, *step.delete)]
    return Manifests(ROOT).documents(dict.fromkeys(used))


def works_without_a_waypoint(document: Document) -> bool:
    """Whether Kubernetes, ztunnel or the gateway, which is an Envoy in every mesh, implements the object."""
    if ".istio.io" not in document.api_version:
        return True
    spec = document.body["spec"]
    return document.kind == "PeerAuthentication" or spec.get("selector", {}).get("matchLabels") == GATEWAY_LABELS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_with_sidecar_only_objects_requires_sidecars(scenario: Scenario) -> None:
    if SIDECAR_KINDS & {document.kind for document in documents(scenario)}:
        assert scenario.meshes == (Mesh.SIDECAR,)
    else:
        assert Mesh.AMBIENT in scenario.meshes


@pytest.mark.parametrize(
    "scenario", [item for item in SCENARIOS if Mesh.L4 in item.meshes], ids=lambda scenario: scenario.name
)
def test_scenario_for_l4_needs_no_waypoint(scenario: Scenario) -> None:
    assert all(map(works_without_a_waypoint, documents(scenario)))


@pytest.mark.parametrize(
    "scenario", [item for item in SCENARIOS if Mesh.NONE in item.meshes], ids=lambda scenario: scenario.name
)
def test_scenario_without_a_mesh_uses_only_kubernetes_objects(scenario: Scenario) -> None:
    assert not any(".istio.io" in document.api_version for document in documents(scenario))


def test_every_mesh_has_a_scenario() -> None:
    for mesh in Mesh:
        assert any(mesh in scenario.meshes for scenario in SCENARIOS)

"""The definitions of the scenarios and their manifests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.definitions import SCENARIOS, file_name, find
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Claim, Manifest, Observation, Scenario

ROOT = Path(__file__).parents[3]

# tests/lab/proxies/test_manifests.py tests each of them on Envoys.
NOT_IN_A_SCENARIO = {
    "istio/gateway/destination-rules-mtls.yaml",
    "istio/egress/google-apis.yaml",
    "istio/telemetry/access-log-errors.yaml",
    "istio/routing/reviews-v1.yaml",
    "istio/gateway-api/reviews-v1.yaml",
    "istio/gateway-api/reviews-v2-v3.yaml",  # the same rule as 50-v3, under the name in istio/canary
}


def observations(scenario: Scenario) -> Iterator[Observation]:
    for step in scenario.steps:
        yield from step.observations


def claims(observation: Observation) -> tuple[Claim, ...]:
    return (*observation.effects, *observation.invariants)


def manifests(scenario: Scenario) -> Iterator[Manifest]:
    yield from (*scenario.setup, *scenario.removed)
    for step in scenario.steps:
        yield from (*step.apply, *step.delete)


def test_false_alarms_occur_less_than_once_in_a_million_runs() -> None:
    total = sum(
        claim.false_alarm_probability(observation.traffic.count)
        for scenario in SCENARIOS
        for observation in observations(scenario)
        for claim in claims(observation)
    )
    assert 0 < total < 1e-6


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_has_an_effect(scenario: Scenario) -> None:
    assert any(observation.effects for observation in observations(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_observation_has_a_claim(scenario: Scenario) -> None:
    assert all(claims(observation) for observation in observations(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_manifests_of_a_scenario_can_be_read(scenario: Scenario) -> None:
    assert Manifests(ROOT).documents(manifests(scenario)) or not list(manifests(scenario))


def test_every_mesh_manifest_belongs_to_a_scenario() -> None:
    used = {manifest for scenario in SCENARIOS for manifest in manifests(scenario)}
    # The manifests in istio/ambient need a cluster. tests/manifests tests them.
    folders = [folder for folder in (ROOT / "istio").iterdir() if folder.name != "ambient"]
    found = {str(path.relative_to(ROOT)) for folder in folders for path in folder.glob("*.yaml")}
    assert found - used == NOT_IN_A_SCENARIO


def test_scenario_names_are_unique() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_scenario_is_found_by_name() -> None:
    assert find("canary").name == "canary"
    with pytest.raises(LabError, match="scenario 'canari' not found"):
        find("canari")


def test_page_file_name_begins_with_the_scenario_number() -> None:
    assert file_name(SCENARIOS[0]) == "01-get-started.md"

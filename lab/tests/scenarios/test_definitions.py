"""The scenarios that there are: whole, and held by the manifests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.definitions import SCENARIOS, file_name, find
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Claim, Manifest, Observation, Scenario

ROOT = Path(__file__).parents[3]

# Held by tests/lab/proxies/test_manifests.py, each on Envoys.
NOT_IN_A_SCENARIO = {
    "istio/gateway/destination-rules-mtls.yaml",
    "istio/egress/google-apis.yaml",
    "istio/telemetry/access-log-errors.yaml",
    "istio/routing/reviews-v1.yaml",
    "istio/gateway-api/reviews-v1.yaml",
    "istio/gateway-api/reviews-v2-v3.yaml",  # like 50-v3, with the names of istio/canary
}


def observations(scenario: Scenario) -> Iterator[Observation]:
    for step in scenario.steps:
        yield from step.observations


def claims(observation: Observation) -> tuple[Claim, ...]:
    return (*observation.shows, *observation.keeps)


def manifests(scenario: Scenario) -> Iterator[Manifest]:
    yield from (*scenario.given, *scenario.without)
    for step in scenario.steps:
        yield from (*step.apply, *step.delete)


def test_chance_raises_a_false_alarm_less_than_once_in_a_million_runs() -> None:
    total = sum(
        claim.false_alarm(observation.traffic.count)
        for scenario in SCENARIOS
        for observation in observations(scenario)
        for claim in claims(observation)
    )
    assert 0 < total < 1e-6


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_proves_something(scenario: Scenario) -> None:
    assert any(observation.shows for observation in observations(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_observation_claims_something(scenario: Scenario) -> None:
    assert all(claims(observation) for observation in observations(scenario))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_its_manifests_can_be_read(scenario: Scenario) -> None:
    assert Manifests(ROOT).documents(manifests(scenario)) or not list(manifests(scenario))


def test_every_manifest_of_the_mesh_is_proved_by_a_scenario() -> None:
    used = {manifest for scenario in SCENARIOS for manifest in manifests(scenario)}
    # What is in istio/ambient takes a cluster: tests/manifests holds it.
    folders = [folder for folder in (ROOT / "istio").iterdir() if folder.name != "ambient"]
    found = {str(path.relative_to(ROOT)) for folder in folders for path in folder.glob("*.yaml")}
    assert found - used == NOT_IN_A_SCENARIO


def test_names_are_unique() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_a_scenario_is_found_by_its_name() -> None:
    assert find("canary").name == "canary"
    with pytest.raises(LabError, match="there is no scenario 'canari'"):
        find("canari")


def test_pages_are_numbered_in_the_order_of_learning() -> None:
    assert file_name(SCENARIOS[0]) == "01-get-started.md"

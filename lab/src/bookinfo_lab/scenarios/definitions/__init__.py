"""All scenarios, in the recommended order."""

from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.definitions import (
    authorization,
    canary,
    circuit_breaking,
    degradation,
    egress,
    fault_injection,
    gateway_api,
    get_started,
    metrics,
    mirroring,
    mutual_tls,
    outlier_detection,
    rate_limit,
    request_routing,
    retries,
    service_graph,
    timeouts,
    tokens,
    tracing,
)
from bookinfo_lab.scenarios.model import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    get_started.SCENARIO,
    degradation.SCENARIO,
    request_routing.SCENARIO,
    canary.SCENARIO,
    fault_injection.SCENARIO,
    timeouts.SCENARIO,
    retries.SCENARIO,
    circuit_breaking.SCENARIO,
    outlier_detection.SCENARIO,
    mirroring.SCENARIO,
    egress.SCENARIO,
    mutual_tls.SCENARIO,
    authorization.SCENARIO,
    tokens.SCENARIO,
    rate_limit.SCENARIO,
    tracing.SCENARIO,
    metrics.SCENARIO,
    service_graph.SCENARIO,
    gateway_api.SCENARIO,
)


def find(name: str) -> Scenario:
    """Return the scenario of that name.

    Raises:
        LabError: it does not exist.
    """
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    raise LabError(f"scenario {name!r} not found; `bookinfo scenario list` lists the scenarios")


def file_name(scenario: Scenario) -> str:
    """Return the file name of the scenario's page, e.g. `04-canary.md`."""
    return f"{SCENARIOS.index(scenario) + 1:02}-{scenario.name}.md"

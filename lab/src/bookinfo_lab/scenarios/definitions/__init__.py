"""All scenarios, in the order in which they are best learned."""

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
    """The scenario of that name.

    Raises:
        LabError: there is none.
    """
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    raise LabError(f"there is no scenario {name!r}; `bookinfo scenario list` shows them")


def file_name(scenario: Scenario) -> str:
    """Of its page, e.g. `03-canary.md`."""
    return f"{SCENARIOS.index(scenario) + 1:02}-{scenario.name}.md"

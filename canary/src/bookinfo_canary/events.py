"""What the controller reports while it runs, as text for people or as JSON for programs."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_canary.gate import FAST_SHARE, GateDecision
from bookinfo_canary.metrics import Comparison, VersionMetrics
from bookinfo_canary.release_plan import ReleasePlan, Service, Versions
from bookinfo_canary.routes import format_weights
from bookinfo_canary.statistics import quantile, wilson_interval


@dataclass(frozen=True)
class Started:
    """The checks passed, and the release starts."""

    plan: ReleasePlan


@dataclass(frozen=True)
class WeightsSet:
    """The canary received the weight of a step, in percent."""

    versions: Versions
    weight: int


@dataclass(frozen=True)
class StepEvaluated:
    """The gate evaluated a step, at the end of a window or because the canary failed."""

    versions: Versions
    weight: int
    observed: Comparison
    decision: GateDecision


@dataclass(frozen=True)
class Promoted:
    """The canary receives every request."""

    versions: Versions


@dataclass(frozen=True)
class RolledBack:
    """The stable version receives every request again."""

    service: Service
    stable: str
    reason: str


Event = Started | WeightsSet | StepEvaluated | Promoted | RolledBack


def as_text(event: Event) -> str:
    """Return the event for a person. An evaluation includes a table."""
    match event:
        case Started(plan):
            steps = ", ".join(str(step) for step in plan.steps)
            versions = plan.versions
            return f"{versions.service.name}: from {versions.stable} to {versions.canary} in steps of {steps} percent"
        case WeightsSet(versions, weight):
            return f"{versions.service.name}: {format_weights(versions.weights(weight))}"
        case StepEvaluated(versions, _, observed, decision):
            table = _table([_row(versions.stable, observed.stable), _row(versions.canary, observed.canary)])
            return f"{table}\n  {decision.outcome}: {decision.reason}"
        case Promoted(versions):
            return f"promoted: {versions.canary} receives every request to {versions.service.name}"
        case RolledBack(service, stable, reason):
            return f"rolled back: {stable} receives every request to {service.name}, because {reason}"


def as_json(event: Event) -> str:
    """Return the event as one line of JSON. Times are in milliseconds. An unknown number is null."""
    body: dict[str, Any]
    match event:
        case Started(plan):
            body = {"event": "started", **_names(plan.versions), "steps": list(plan.steps)}
        case WeightsSet(versions, weight):
            body = {"event": "weights set", **_names(versions), "weight": weight}
        case StepEvaluated(versions, weight, observed, decision):
            body = {"event": "step evaluated", **_names(versions), "weight": weight}
            body |= {"outcome": decision.outcome, "reason": decision.reason}
            body |= {"observed": {"stable": _numbers(observed.stable), "canary": _numbers(observed.canary)}}
        case Promoted(versions):
            body = {"event": "promoted", **_names(versions)}
        case RolledBack(service, stable, reason):
            body = {"event": "rolled back", "service": service.name, "namespace": service.namespace}
            body |= {"stable": stable, "reason": reason}
    return json.dumps(body)


def _names(versions: Versions) -> dict[str, str]:
    service = versions.service
    return {
        "service": service.name,
        "namespace": service.namespace,
        "stable": versions.stable,
        "canary": versions.canary,
    }


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    rows = [("", "requests", "succeeded", "99 % interval", "p50", "p99"), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(version: str, metrics: VersionMetrics) -> tuple[str, ...]:
    if not metrics.requests:
        return (version, "0", "-", "-", "-", "-")
    low, high = wilson_interval(metrics.successes, metrics.requests)
    return (
        version,
        f"{metrics.requests:.0f}",
        f"{metrics.successes / metrics.requests * 100:.1f} %",
        f"{low * 100:.1f} to {high * 100:.1f} %",
        *(_milliseconds(quantile(share, metrics.durations)) for share in (0.5, FAST_SHARE)),
    )


def _milliseconds(duration: float) -> str:
    return "-" if math.isnan(duration) else f"{duration:.0f} ms"


def _numbers(metrics: VersionMetrics) -> dict[str, float | None]:
    p99 = quantile(FAST_SHARE, metrics.durations)
    return {
        "requests": round(metrics.requests),
        "failures": round(metrics.failures),
        "p99": None if math.isnan(p99) else round(p99, 1),
    }

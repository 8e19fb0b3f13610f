"""What the controller tells while it works: as lines for people, or as JSON for programs."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookinfo_canary.gate import FAST, Judgement
from bookinfo_canary.metrics import Comparison, Observed
from bookinfo_canary.plan import Plan, Service, Versions
from bookinfo_canary.routes import told
from bookinfo_canary.statistics import quantile, wilson


@dataclass(frozen=True)
class Started:
    """Nothing stands against it."""

    plan: Plan


@dataclass(frozen=True)
class Weighted:
    """The canary has its share."""

    versions: Versions
    weight: int


@dataclass(frozen=True)
class Judged:
    """A window is over, or the canary is surely bad."""

    versions: Versions
    weight: int
    seen: Comparison
    judgement: Judgement


@dataclass(frozen=True)
class Promoted:
    """The canary has every request."""

    versions: Versions


@dataclass(frozen=True)
class RolledBack:
    """One version has every request again."""

    service: Service
    stable: str
    reason: str


Event = Started | Weighted | Judged | Promoted | RolledBack


def line(event: Event) -> str:
    """The event for a person; a judgement with a table."""
    match event:
        case Started(plan):
            steps = ", ".join(str(step) for step in plan.steps)
            versions = plan.versions
            return f"{versions.service.name}: from {versions.stable} to {versions.canary} in steps of {steps} percent"
        case Weighted(versions, weight):
            return f"{versions.service.name}: {told(versions.share(weight))}"
        case Judged(versions, _, seen, judgement):
            table = _table([_row(versions.stable, seen.stable), _row(versions.canary, seen.canary)])
            return f"{table}\n  {judgement.outcome}: {judgement.reason}"
        case Promoted(versions):
            return f"promoted: {versions.canary} has every request of {versions.service.name}"
        case RolledBack(service, stable, reason):
            return f"rolled back: {stable} has every request of {service.name}, because {reason}"


def encoded(event: Event) -> str:
    """The event as one line of JSON. Times are in milliseconds; null is what is not known."""
    body: dict[str, Any]
    match event:
        case Started(plan):
            body = {"event": "started", **_names(plan.versions), "steps": list(plan.steps)}
        case Weighted(versions, weight):
            body = {"event": "weighted", **_names(versions), "weight": weight}
        case Judged(versions, weight, seen, judgement):
            body = {"event": "judged", **_names(versions), "weight": weight}
            body |= {"outcome": judgement.outcome, "reason": judgement.reason}
            body |= {"seen": {"stable": _numbers(seen.stable), "canary": _numbers(seen.canary)}}
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
    rows = [("", "requests", "succeeded", "surely between", "p50", "p99"), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(version: str, observed: Observed) -> tuple[str, ...]:
    if not observed.requests:
        return (version, "0", "-", "-", "-", "-")
    low, high = wilson(observed.successes, observed.requests)
    return (
        version,
        f"{observed.requests:.0f}",
        f"{observed.successes / observed.requests * 100:.1f} %",
        f"{low * 100:.1f} and {high * 100:.1f} %",
        *(_time(quantile(share, observed.durations)) for share in (0.5, FAST)),
    )


def _time(milliseconds: float) -> str:
    return "-" if math.isnan(milliseconds) else f"{milliseconds:.0f} ms"


def _numbers(observed: Observed) -> dict[str, float | None]:
    p99 = quantile(FAST, observed.durations)
    return {
        "requests": round(observed.requests),
        "failures": round(observed.failures),
        "p99": None if math.isnan(p99) else round(p99, 1),
    }

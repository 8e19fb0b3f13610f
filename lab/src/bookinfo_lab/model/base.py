"""What all typed Istio objects share: strictness, and the text forms of Istio's API."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


class Spec(BaseModel):
    """A part of an Istio object: its fields have Istio's names, none is converted, and an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class PolicySelector(Spec):
    """Which workloads a rule is for, by their labels."""

    match_labels: dict[str, str] = {}  # pydantic copies a default for each object


def parse_duration(text: Any) -> float:
    """Seconds of a duration as Go writes it (`1.5s`, `100ms`, `1h30m`), the form that Istio's API takes.

    Raises ValueError for anything else; a duration is never negative.
    """
    if not isinstance(text, str) or not re.fullmatch(rf"(?:{_DURATION_PART.pattern})+", text):
        raise ValueError(f"{text!r} is not a duration; write it like 0.5s, 100ms or 1m")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def duration(seconds: float) -> str:
    """`seconds` as Envoy's JSON writes a duration."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A duration, in seconds."""

"""What all typed Istio objects share: strictness, and the text forms of Istio's API."""

import base64
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_HOURS = 2_562_047  # what a Go time.Duration can hold; Envoy counts in the same nanoseconds
_LONGEST_QUOTE = 40
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


class Spec(BaseModel):
    """A part of an Istio object: its fields have Istio's names, none is converted, and an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class PolicySelector(Spec):
    """Which workloads a rule is for, by their labels."""

    match_labels: dict[str, str] = {}  # pydantic copies a default for each object


def parse_duration(text: Any) -> float:
    """Seconds of a duration as Go writes it (`1.5s`, `100ms`, `1h30m`), the form that Istio's API takes.

    Raises ValueError for anything else; a duration is never negative, nor longer than Go's time.Duration can hold.
    """
    if not isinstance(text, str) or not re.fullmatch(rf"(?:{_DURATION_PART.pattern})+", text):
        raise ValueError(f"{text!r} is not a duration; write it like 0.5s, 100ms or 1m")
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > _LONGEST_HOURS * _UNIT_SECONDS["h"]:
        raise ValueError(f"{text[:_LONGEST_QUOTE]!r} is longer than a duration can be; write {_LONGEST_HOURS}h or less")
    return seconds


def duration(seconds: float) -> str:
    """`seconds` as Envoy's JSON writes a duration."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A duration, in seconds."""


def parse_regex(text: str) -> str:
    """A regular expression, which has a character at least; whether it is RE2's is left to Envoy."""
    if not text:
        raise ValueError("a regular expression cannot be empty; write .* for any text")
    return text


Regex = Annotated[str, AfterValidator(parse_regex)]
"""A regular expression of RE2."""


def parse_base64(text: str) -> str:
    """Bytes as protobuf's JSON takes them: base64 in either alphabet, padded or not; told back in the standard one.

    https://protobuf.dev/programming-guides/json/. Raises ValueError for what is not.
    """
    digits = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        decoded = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise ValueError(f"{text[:_LONGEST_QUOTE]!r} is not base64; encode it, or write it as string") from None
    return base64.b64encode(decoded).decode()


Base64 = Annotated[str, AfterValidator(parse_base64)]
"""Bytes, in base64."""

"""The base of all typed Istio objects, and the text formats of Istio's API."""

import base64
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.pydantic_errors import InvalidValueError

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_HOURS = 2_562_047  # the longest time.Duration of Go; Envoy uses the same nanoseconds
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


class Spec(BaseModel):
    """A part of an Istio object. Fields have Istio's names, values are not converted, and other fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class PolicySelector(Spec):
    """Selects by labels the workloads to which a policy applies."""

    match_labels: dict[str, str] = {}  # pydantic copies a default for each object


def parse_duration(text: Any) -> float:
    """Return the seconds of a duration in Go's format (`1.5s`, `100ms`, `1h30m`), which Istio's API uses.

    Raises:
        InvalidValueError: the text has another format, or the duration is longer than Go's time.Duration.
    """
    if not isinstance(text, str) or not re.fullmatch(rf"(?:{_DURATION_PART.pattern})+", text):
        raise InvalidValueError(manifest_errors.invalid_duration(text))
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > _LONGEST_HOURS * _UNIT_SECONDS["h"]:
        raise InvalidValueError(manifest_errors.duration_too_long(text, _LONGEST_HOURS))
    return seconds


def duration(seconds: float) -> str:
    """Return `seconds` in the format of Envoy's JSON."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


Seconds = Annotated[float, BeforeValidator(parse_duration)]
"""A duration, in seconds."""


def parse_regex(text: str) -> str:
    """Return a regular expression that is not empty. Envoy checks the RE2 syntax."""
    if not text:
        raise InvalidValueError(manifest_errors.empty_regex())
    return text


Regex = Annotated[str, AfterValidator(parse_regex)]
"""An RE2 regular expression."""


def parse_base64(text: str) -> str:
    """Return bytes of protobuf's JSON, base64 in either alphabet, padded or not, as standard base64.

    https://protobuf.dev/programming-guides/json/

    Raises:
        InvalidValueError: the text is not base64.
    """
    digits = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        decoded = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise InvalidValueError(manifest_errors.invalid_base64(text)) from None
    return base64.b64encode(decoded).decode()


Base64 = Annotated[str, AfterValidator(parse_base64)]
"""Bytes, in base64."""

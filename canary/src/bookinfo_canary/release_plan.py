"""What a release is to do: its versions, its steps and the criteria of its gate."""

import re
from dataclasses import dataclass

from bookinfo_canary.errors import RejectedError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Service:
    """A Service of a namespace."""

    name: str
    namespace: str

    def __post_init__(self) -> None:
        _validate_name("--service", self.name)
        _validate_name("--namespace", self.namespace)


@dataclass(frozen=True)
class Versions:
    """The two versions that share a service's requests. A version is the value of its pods' label `version`."""

    service: Service
    stable: str
    canary: str

    def __post_init__(self) -> None:
        _validate_name("--stable", self.stable)
        _validate_name("--canary", self.canary)
        if self.stable == self.canary:
            raise RejectedError(f"--stable and --canary are both {self.stable}; use two versions")

    def weights(self, canary_percent: int) -> dict[str, int]:
        """Return the weights of both versions. A version without requests is left out, so that it can be removed."""
        weights = {self.stable: 100 - canary_percent, self.canary: canary_percent}
        return {version: weight for version, weight in weights.items() if weight}


@dataclass(frozen=True)
class Criteria:
    """What a canary must reach at each step. Shares are between 0 and 1."""

    min_requests: int
    min_success: float
    max_success_drop: float
    max_p99_ratio: float
    p99_floor_ms: float


@dataclass(frozen=True)
class ReleasePlan:
    """The steps of a release in percent, with the times and the criteria of each step."""

    versions: Versions
    steps: tuple[int, ...]
    criteria: Criteria
    window_seconds: float
    limit_seconds: float
    settle_seconds: float

    def __post_init__(self) -> None:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1 or self.steps[-1] != 100:
            raise RejectedError("--steps: use rising percentages that end with 100, such as 10,25,50,100")
        if len(self.steps) == 1:
            raise RejectedError("--steps 100: there is nothing to compare with; start lower, such as 10,100")
        if self.window_seconds <= 0:
            raise RejectedError("--window: use more than 0")
        if self.limit_seconds < self.window_seconds:
            raise RejectedError(
                f"--limit is shorter than --window ({self.limit_seconds:g} s and {self.window_seconds:g} s)"
            )


def parse_duration(option: str, text: str) -> float:
    """Return the seconds of a duration such as 60s, 2m or 500ms.

    Raises:
        RejectedError: the duration is invalid; the message names the option.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise RejectedError(f"{option}: invalid duration {text!r}; use one such as 60s, 2m or 500ms")
    return float(found[1]) * _SECONDS_PER_UNIT[found[2]]


def parse_steps(text: str) -> tuple[int, ...]:
    """Return the percentages of steps such as 10,25,50,100.

    Raises:
        RejectedError: the text is not a list of percentages.
    """
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", text):
        raise RejectedError(f"--steps: invalid percentages {text!r}; use rising ones such as 10,25,50,100")
    return tuple(int(step) for step in text.split(","))


def _validate_name(option: str, name: str) -> None:
    """Names become part of routes and queries, so only valid Kubernetes names are accepted."""
    if not _NAME.fullmatch(name):
        raise RejectedError(f"{option}: invalid name {name!r}; use 1 to 63 of a-z, 0-9 and - (not at the ends)")

"""What is asked for: which versions, which steps, and what the gate demands."""

import re
from dataclasses import dataclass

from bookinfo_canary.errors import RefusedError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Service:
    """A Service of a namespace."""

    name: str
    namespace: str

    def __post_init__(self) -> None:
        _named("--service", self.name)
        _named("--namespace", self.namespace)


@dataclass(frozen=True)
class Versions:
    """The two versions that share a service's requests; a version is the value of its pods' label `version`."""

    service: Service
    stable: str
    canary: str

    def __post_init__(self) -> None:
        _named("--stable", self.stable)
        _named("--canary", self.canary)
        if self.stable == self.canary:
            raise RefusedError(f"--stable and --canary are both {self.stable}: name two versions")

    def share(self, canary: int) -> dict[str, int]:
        """The weights when the canary gets `canary` percent; who gets none is not named, so that it may be removed."""
        weights = {self.stable: 100 - canary, self.canary: canary}
        return {version: weight for version, weight in weights.items() if weight}


@dataclass(frozen=True)
class Criteria:
    """What a canary must show at each step. Shares are between 0 and 1, times in milliseconds."""

    min_requests: int
    min_success: float
    max_success_drop: float
    max_p99_ratio: float
    p99_floor: float


@dataclass(frozen=True)
class Plan:
    """The steps in percent, and the pace in seconds."""

    versions: Versions
    steps: tuple[int, ...]
    criteria: Criteria
    window: float
    limit: float
    settle: float

    def __post_init__(self) -> None:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1 or self.steps[-1] != 100:
            raise RefusedError("--steps: use rising percentages that end with 100, such as 10,25,50,100")
        if len(self.steps) == 1:
            raise RefusedError("--steps 100: there is nothing to compare with; begin with less, such as 10,100")
        if self.window <= 0:
            raise RefusedError("--window: use more than 0")
        if self.limit < self.window:
            raise RefusedError(f"--limit is shorter than --window ({self.limit:g} s and {self.window:g} s)")


def seconds(option: str, text: str) -> float:
    """A time such as 60s, 2m or 500ms. Raises `RefusedError`, which names the option."""
    found = _TIME.fullmatch(text)
    if not found:
        raise RefusedError(f"{option} {text}: write a time such as 60s, 2m or 500ms")
    return float(found[1]) * _UNITS[found[2]]


def percentages(text: str) -> tuple[int, ...]:
    """Steps such as 10,25,50,100. Raises `RefusedError`."""
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", text):
        raise RefusedError(f"--steps {text}: write percentages such as 10,25,50,100")
    return tuple(int(step) for step in text.split(","))


def _named(option: str, name: str) -> None:
    """Names stand in routes and in queries, so none but Kubernetes' own get there."""
    if not _NAME.fullmatch(name):
        raise RefusedError(f"{option} {name}: use 1 to 63 of a-z, 0-9 and - (not at the ends)")

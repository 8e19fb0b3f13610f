"""What a scenario is made of. Definitions are Python, because mypy then checks them and nothing has to be parsed."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bookinfo_client.send import Result


class Mesh(enum.StrEnum):
    """What stands between the workloads."""

    NONE = "no mesh"
    L4 = "ambient mode without a waypoint"
    AMBIENT = "ambient mode with a waypoint"
    SIDECAR = "sidecars"


@dataclass(frozen=True)
class Browser:
    """Somebody outside, who comes by way of the gateway."""

    user: str = ""  # signed in under this name
    brand: str = ""
    agent: str = ""  # the User-Agent by which that brand calls itself

    def __str__(self) -> str:
        return (self.brand or "browser") + (f" as {self.user}" if self.user else "")


@dataclass(frozen=True)
class Pod:
    """A workload from which commands are run, e.g. `client`."""

    deployment: str

    def __str__(self) -> str:
        return self.deployment


@dataclass(frozen=True)
class Traffic:
    """The same request `count` times, `concurrency` at once; `url` is a path for a browser, whole for a pod."""

    caller: Browser | Pod
    url: str
    count: int = 1
    concurrency: int = 1
    per_second: float = 0.0  # 0: as fast as the answers come
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    token: str = ""  # a file with a bearer token, relative to the repository
    known_as: str = ""  # a host that a cluster's DNS knows, where only the mesh knows that of `url`
    timeout: float = 20.0

    def __str__(self) -> str:
        times = f"{self.count} x " if self.count > 1 else ""
        at_once = f", {self.concurrency} at once" if self.concurrency > 1 else ""
        rate = f", {self.per_second:g} a second" if self.per_second else ""
        token = f", with {self.token.rpartition('/')[2]}" if self.token else ""
        return f"{self.caller}: {times}{self.method} {self.url}{at_once}{rate}{token}"


@dataclass(frozen=True)
class Counter:
    """Numbers that a workload's proxy keeps, added up: those whose whole name `pattern` (a regular expression) matches.

    `gauge` is a level; of all others the increment during the traffic is meant. With `application` it is the
    application that counts, on /metrics, and a name includes the labels.
    """

    workload: str
    pattern: str
    gauge: bool = False
    application: bool = False


@dataclass(frozen=True)
class Log:
    """Lines that a workload's proxy logs during the traffic and that `pattern` is found in."""

    workload: str
    pattern: str


@dataclass(frozen=True)
class Sample:
    """What one traffic brought: its answers, and what the proxies counted and logged meanwhile."""

    results: tuple[Result, ...]
    counted: Mapping[Counter, int] = field(default_factory=dict)
    logged: Mapping[Log, int] = field(default_factory=dict)
    unseen: Mapping[Counter | Log, str] = field(default_factory=dict)  # what cannot be counted here, and why
    tries: int = 1  # until a change that is slow to take effect had done so


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds for a sample, and what was seen, in words."""

    holds: bool
    seen: str


class Claim(Protocol):
    """Something that a sample has or has not."""

    @property
    def expected(self) -> str:
        """The claim in words."""

    @property
    def reads(self) -> tuple[Counter | Log, ...]:
        """What must be counted for it."""

    def false_alarm(self, requests: int) -> float:
        """The probability that chance alone makes it come out wrong, over `requests` answers."""

    def judge(self, sample: Sample) -> Verdict:
        """Whether it holds."""


@dataclass(frozen=True)
class Observation:
    """Traffic, and what it must show.

    `shows` must hold, and must not hold for the same traffic `against` the state before the step, or against the
    scenario's baseline: that proves that the rule makes the difference. `keeps` are invariants: they hold either way.
    """

    traffic: Traffic
    shows: tuple[Claim, ...] = ()
    keeps: tuple[Claim, ...] = ()
    against: Literal["before", "baseline"] = "before"


@dataclass(frozen=True)
class Generated:
    """A manifest that must be new each time: what `command` prints."""

    command: str
    make: Callable[[], str]


@dataclass(frozen=True)
class Scaled:
    """One of the lab's own Deployments with so many pods."""

    deployment: str
    replicas: int


Manifest = str | Generated | Scaled
"""A file, relative to the repository, or what a command makes."""


@dataclass(frozen=True)
class Step:
    """One change and what comes of it."""

    title: str
    text: str  # Markdown: what happens, and why
    observations: tuple[Observation, ...]
    apply: tuple[Manifest, ...] = ()
    delete: tuple[Manifest, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A lesson: from a baseline, step by step."""

    name: str
    title: str
    teaches: str  # one sentence
    text: str  # Markdown: what it is about
    steps: tuple[Step, ...]
    given: tuple[Manifest, ...] = ()  # applied before the first step: with the lab's own start, the baseline
    without: tuple[Manifest, ...] = ()  # of the lab's own start, what the baseline lacks
    meshes: tuple[Mesh, ...] = (Mesh.SIDECAR, Mesh.AMBIENT)  # where it can be seen
    more: str = ""  # Markdown: what to look at next, and what a real cluster adds

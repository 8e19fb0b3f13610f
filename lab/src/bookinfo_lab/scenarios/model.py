"""The parts of a scenario. Scenarios are defined in Python, so mypy checks them and no parser is needed."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bookinfo_client.send import Result


class Mesh(enum.StrEnum):
    """The kind of mesh that connects the workloads."""

    NONE = "no mesh"
    L4 = "ambient mode without a waypoint"
    AMBIENT = "ambient mode with a waypoint"
    SIDECAR = "sidecars"


@dataclass(frozen=True)
class Browser:
    """A client outside the mesh. Its requests go through the gateway."""

    user: str = ""  # the name of the signed-in user
    brand: str = ""
    agent: str = ""  # the User-Agent header of that brand

    def __str__(self) -> str:
        return (self.brand or "browser") + (f" as {self.user}" if self.user else "")


@dataclass(frozen=True)
class Pod:
    """A workload inside the cluster or the lab that sends requests, e.g. `client`."""

    deployment: str

    def __str__(self) -> str:
        return self.deployment


@dataclass(frozen=True)
class Traffic:
    """The same request `count` times, `concurrency` at a time. `url` is a path for a browser and a URL for a pod."""

    caller: Browser | Pod
    url: str
    count: int = 1
    concurrency: int = 1
    per_second: float = 0.0  # 0: no rate limit
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    token: str = ""  # a file with a bearer token, relative to the repository
    dns_name: str = ""  # a host that a cluster's DNS resolves, if only the mesh knows the host of `url`
    timeout: float = 20.0  # seconds

    def __str__(self) -> str:
        times = f"{self.count} x " if self.count > 1 else ""
        concurrency = f", {self.concurrency} concurrent" if self.concurrency > 1 else ""
        rate = f", {self.per_second:g} per second" if self.per_second else ""
        token = f", with {self.token.rpartition('/')[2]}" if self.token else ""
        return f"{self.caller}: {times}{self.method} {self.url}{concurrency}{rate}{token}"


@dataclass(frozen=True)
class Counter:
    """The sum of a proxy's statistics whose whole name matches `pattern` (a regular expression).

    A gauge is read once, after the traffic. Other counters are read before and after it, and the increase counts. With
    `application`, the application's /metrics is read instead, and a name includes its labels.
    """

    workload: str
    pattern: str
    gauge: bool = False
    application: bool = False


@dataclass(frozen=True)
class LogPattern:
    """The lines that a workload's proxy logs during the traffic and that match `pattern` (a regular expression)."""

    workload: str
    pattern: str


@dataclass(frozen=True)
class Sample:
    """The responses to one traffic, and what the proxies counted and logged during it."""

    results: tuple[Result, ...]
    counter_increases: Mapping[Counter, int] = field(default_factory=dict)
    log_line_counts: Mapping[LogPattern, int] = field(default_factory=dict)
    unobservable: Mapping[Counter | LogPattern, str] = field(default_factory=dict)  # with the reason
    tries: int = 1  # samples that were taken until the rule was in effect


@dataclass(frozen=True)
class CheckResult:
    """Whether a sample satisfies a claim, and what was observed, in words."""

    passed: bool
    observed: str


class Claim(Protocol):
    """A statement about a sample."""

    @property
    def expected(self) -> str:
        """The claim in words."""

    @property
    def reads(self) -> tuple[Counter | LogPattern, ...]:
        """The counters and logs that the claim needs."""

    def false_alarm_probability(self, requests: int) -> float:
        """The probability that a sample of this many requests fails the claim by chance."""

    def check(self, sample: Sample) -> CheckResult:
        """Check the claim."""


@dataclass(frozen=True)
class Observation:
    """One traffic and the claims about it.

    An effect must be observed with the rule, and must not be observed for the same traffic without it: after the
    previous step, or in the scenario's baseline. That shows that the rule makes the difference. An invariant must be
    observed with the rule, and may be observed without it.
    """

    traffic: Traffic
    effects: tuple[Claim, ...] = ()
    invariants: tuple[Claim, ...] = ()
    contrast_with: Literal["previous step", "baseline"] = "previous step"


@dataclass(frozen=True)
class GeneratedManifest:
    """A manifest that is generated for each run: the output of `command`."""

    command: str
    generate: Callable[[], str]


@dataclass(frozen=True)
class ScaledDeployment:
    """A Deployment of kubernetes/bookinfo.yaml with another number of replicas."""

    deployment: str
    replicas: int


Manifest = str | GeneratedManifest | ScaledDeployment
"""A file, relative to the repository, or a manifest that is generated."""


@dataclass(frozen=True)
class Step:
    """One change of the mesh and its observations."""

    title: str
    text: str  # Markdown: what happens, and why
    observations: tuple[Observation, ...]
    apply: tuple[Manifest, ...] = ()
    delete: tuple[Manifest, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A lesson in steps, from a baseline."""

    name: str
    title: str
    teaches: str  # one sentence
    text: str  # Markdown: the subject
    steps: tuple[Step, ...]
    setup: tuple[Manifest, ...] = ()  # applied before the first step
    removed: tuple[Manifest, ...] = ()  # deleted before the first step, from the manifests that a lab starts with
    meshes: tuple[Mesh, ...] = (Mesh.SIDECAR, Mesh.AMBIENT)  # the kinds of mesh in which it can be verified
    further_reading: str = ""  # Markdown: related commands, and what a cluster adds

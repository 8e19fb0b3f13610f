"""What can be claimed of a sample."""

from dataclasses import dataclass

from bookinfo_lab.scenarios import binomial
from bookinfo_lab.scenarios.matchers import Matcher, statuses
from bookinfo_lab.scenarios.model import Counter, Log, Sample, Verdict

ALPHA = 1e-8
"""How probable it may be that a share falls outside of its interval by chance."""

_NOTHING_SENT = Verdict(holds=False, seen="nothing was sent")
"""Of no answers anything could be said."""


class _OfAnswers:
    """A claim that needs nothing but the answers."""

    @property
    def reads(self) -> tuple[Counter | Log, ...]:
        return ()

    def false_alarm(self, requests: int) -> float:  # noqa: ARG002
        return 0.0


@dataclass(frozen=True)
class Every(_OfAnswers):
    """All answers are like that."""

    matcher: Matcher

    @property
    def expected(self) -> str:
        return f"all {self.matcher.phrase}"

    def judge(self, sample: Sample) -> Verdict:
        if not sample.results:
            return _NOTHING_SENT
        return Verdict(all(map(self.matcher.matches, sample.results)), self.matcher.seen(sample.results))


@dataclass(frozen=True)
class No(_OfAnswers):
    """No answer is like that."""

    matcher: Matcher

    @property
    def expected(self) -> str:
        return f"none {self.matcher.phrase}"

    def judge(self, sample: Sample) -> Verdict:
        if not sample.results:
            return _NOTHING_SENT
        return Verdict(not any(map(self.matcher.matches, sample.results)), self.matcher.seen(sample.results))


@dataclass(frozen=True)
class Share:
    """Each answer is like that with a probability of `percent`, independently of the others.

    `otherwise` is that probability where the rule does not hold, also in percent: it tells how probably chance alone
    would make the claim hold there.
    """

    matcher: Matcher
    percent: float
    otherwise: float

    @property
    def reads(self) -> tuple[Counter | Log, ...]:
        return ()

    @property
    def expected(self) -> str:
        return f"{self.percent:g} % {self.matcher.phrase}"

    def false_alarm(self, requests: int) -> float:
        low, high = self._interval(requests)
        here = 1 - binomial.probability(low, high, requests, self.percent / 100)
        return max(here, 0.0) + binomial.probability(low, high, requests, self.otherwise / 100)

    def judge(self, sample: Sample) -> Verdict:
        requests = len(sample.results)
        if not requests:
            return _NOTHING_SENT
        low, high = self._interval(requests)
        found = sum(map(self.matcher.matches, sample.results))
        allowed = f"{100 * low / requests:.1f} to {100 * high / requests:.1f} %"
        return Verdict(low <= found <= high, f"{100 * found / requests:.1f} % of {requests} (allowed: {allowed})")

    def _interval(self, requests: int) -> tuple[int, int]:
        return binomial.interval(requests, self.percent / 100, ALPHA)


@dataclass(frozen=True)
class Between(_OfAnswers):
    """The share of such answers is in a range, in percent, that is wide because it is not a matter of pure chance."""

    matcher: Matcher
    at_least: float
    at_most: float

    @property
    def expected(self) -> str:
        if self.at_least == 0:
            return f"at most {self.at_most:g} % {self.matcher.phrase}"
        if self.at_most == 100:
            return f"at least {self.at_least:g} % {self.matcher.phrase}"
        return f"{self.at_least:g} to {self.at_most:g} % {self.matcher.phrase}"

    def judge(self, sample: Sample) -> Verdict:
        if not sample.results:
            return _NOTHING_SENT
        share = 100 * sum(map(self.matcher.matches, sample.results)) / len(sample.results)
        return Verdict(self.at_least <= share <= self.at_most, f"{share:.1f} % of {len(sample.results)}")


@dataclass(frozen=True)
class InOrder(_OfAnswers):
    """The answers have these statuses, one after the other."""

    statuses: tuple[int, ...]

    @property
    def expected(self) -> str:
        return f"answered {' '.join(map(str, self.statuses))}"

    def judge(self, sample: Sample) -> Verdict:
        seen = tuple(result.status for result in sample.results)
        return Verdict(seen == self.statuses, " ".join(map(str, seen)))


@dataclass(frozen=True)
class Counts:
    """A proxy counts so many meanwhile; a bound of None is the number of requests."""

    counter: Counter
    means: str  # what is counted, in words
    at_least: int | None = 1
    at_most: int | float | None = float("inf")

    @property
    def reads(self) -> tuple[Counter | Log, ...]:
        return (self.counter,)

    @property
    def expected(self) -> str:
        if self.at_least == self.at_most:
            return f"{self.counter.workload}: {self.means}: {'one a request' if self.at_most is None else self.at_most}"
        low = "one a request or more" if self.at_least is None else f"{self.at_least} or more"
        if self.at_most == float("inf"):
            return f"{self.counter.workload}: {self.means}: {low}"
        high = "one a request" if self.at_most is None else self.at_most
        return f"{self.counter.workload}: {self.means}: {self.at_least} to {high}"

    def false_alarm(self, requests: int) -> float:  # noqa: ARG002
        return 0.0

    def judge(self, sample: Sample) -> Verdict:
        requests = len(sample.results)
        low = requests if self.at_least is None else self.at_least
        high = requests if self.at_most is None else self.at_most
        if not requests:
            return _NOTHING_SENT
        counted = sample.counted[self.counter]
        return Verdict(low <= counted <= high, str(counted))


@dataclass(frozen=True)
class CountsEach:
    """A proxy counts as many as there are such answers, and there are some."""

    counter: Counter
    means: str
    matcher: Matcher

    @property
    def reads(self) -> tuple[Counter | Log, ...]:
        return (self.counter,)

    @property
    def expected(self) -> str:
        return f"{self.counter.workload}: {self.means}: one for each {self.matcher.phrase}"

    def false_alarm(self, requests: int) -> float:  # noqa: ARG002
        return 0.0

    def judge(self, sample: Sample) -> Verdict:
        found = sum(map(self.matcher.matches, sample.results))
        counted = sample.counted[self.counter]
        return Verdict(counted == found > 0, f"{counted} for {found} ({statuses(sample.results)})")


@dataclass(frozen=True)
class Logs:
    """A proxy logs so many such lines meanwhile; None is one for each request."""

    log: Log
    means: str
    at_least: int | None = None
    at_most: int | float | None = None

    @property
    def reads(self) -> tuple[Counter | Log, ...]:
        return (self.log,)

    @property
    def expected(self) -> str:
        many = "one a request" if self.at_least is None else str(self.at_least)
        more = " or more" if self.at_most == float("inf") else ""
        return f"{self.log.workload} logs {self.means}: {many}{more}"

    def false_alarm(self, requests: int) -> float:  # noqa: ARG002
        return 0.0

    def judge(self, sample: Sample) -> Verdict:
        requests = len(sample.results)
        low = requests if self.at_least is None else self.at_least
        high = requests if self.at_most is None else self.at_most
        if not requests:
            return _NOTHING_SENT
        logged = sample.logged[self.log]
        return Verdict(low <= logged <= high, f"{logged} lines for {requests} requests")

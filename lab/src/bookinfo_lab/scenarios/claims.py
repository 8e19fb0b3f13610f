"""Claims about a sample."""

import math
from dataclasses import dataclass

from bookinfo_lab.scenarios import binomial
from bookinfo_lab.scenarios.matchers import Matcher, statuses
from bookinfo_lab.scenarios.model import CheckResult, Counter, LogPattern, Sample

ALPHA = 1e-8
"""The probability that an observed share lies outside the allowed interval by chance."""

UNBOUNDED = math.inf
ONE_PER_REQUEST = None
"""A bound that is the number of requests."""

_NO_REQUESTS = CheckResult(passed=False, observed="no requests were sent")
"""Without responses every claim about all of them would pass."""


class _ResponseClaim:
    """A claim that needs only the responses."""

    @property
    def reads(self) -> tuple[Counter | LogPattern, ...]:
        return ()

    def false_alarm_probability(self, requests: int) -> float:  # noqa: ARG002
        return 0.0


@dataclass(frozen=True)
class Every(_ResponseClaim):
    """Every response matches."""

    matcher: Matcher

    @property
    def expected(self) -> str:
        return f"all: {self.matcher.description}"

    def check(self, sample: Sample) -> CheckResult:
        if not sample.results:
            return _NO_REQUESTS
        return CheckResult(all(map(self.matcher.matches, sample.results)), self.matcher.observed(sample.results))


@dataclass(frozen=True)
class NoneOf(_ResponseClaim):
    """No response matches."""

    matcher: Matcher

    @property
    def expected(self) -> str:
        return f"none: {self.matcher.description}"

    def check(self, sample: Sample) -> CheckResult:
        if not sample.results:
            return _NO_REQUESTS
        return CheckResult(not any(map(self.matcher.matches, sample.results)), self.matcher.observed(sample.results))


@dataclass(frozen=True)
class Share:
    """Each response matches with a probability of `percent`, independently of the others.

    `percent_without_rule` is that probability without the rule. It determines how likely the claim passes there by
    chance.
    """

    matcher: Matcher
    percent: float
    percent_without_rule: float

    @property
    def reads(self) -> tuple[Counter | LogPattern, ...]:
        return ()

    @property
    def expected(self) -> str:
        return f"{self.percent:g} %: {self.matcher.description}"

    def false_alarm_probability(self, requests: int) -> float:
        low, high = self._interval(requests)
        outside = 1 - binomial.probability(low, high, requests, self.percent / 100)
        inside_without_rule = binomial.probability(low, high, requests, self.percent_without_rule / 100)
        return max(outside, 0.0) + inside_without_rule

    def check(self, sample: Sample) -> CheckResult:
        requests = len(sample.results)
        if not requests:
            return _NO_REQUESTS
        low, high = self._interval(requests)
        found = sum(map(self.matcher.matches, sample.results))
        allowed = f"{100 * low / requests:.1f} to {100 * high / requests:.1f} %"
        return CheckResult(low <= found <= high, f"{100 * found / requests:.1f} % of {requests} (allowed: {allowed})")

    def _interval(self, requests: int) -> tuple[int, int]:
        return binomial.interval(requests, self.percent / 100, ALPHA)


@dataclass(frozen=True)
class ShareBetween(_ResponseClaim):
    """The share of matching responses is in a wide range, in percent, because it does not depend on chance alone."""

    matcher: Matcher
    minimum: float
    maximum: float

    @property
    def expected(self) -> str:
        if self.minimum == 0:
            return f"at most {self.maximum:g} %: {self.matcher.description}"
        if self.maximum == 100:
            return f"at least {self.minimum:g} %: {self.matcher.description}"
        return f"{self.minimum:g} to {self.maximum:g} %: {self.matcher.description}"

    def check(self, sample: Sample) -> CheckResult:
        if not sample.results:
            return _NO_REQUESTS
        share = 100 * sum(map(self.matcher.matches, sample.results)) / len(sample.results)
        return CheckResult(self.minimum <= share <= self.maximum, f"{share:.1f} % of {len(sample.results)}")


@dataclass(frozen=True)
class StatusSequence(_ResponseClaim):
    """The responses have these statuses, in this order."""

    statuses: tuple[int, ...]

    @property
    def expected(self) -> str:
        return f"statuses in this order: {' '.join(map(str, self.statuses))}"

    def check(self, sample: Sample) -> CheckResult:
        observed = tuple(result.status for result in sample.results)
        return CheckResult(observed == self.statuses, " ".join(map(str, observed)))


@dataclass(frozen=True)
class CounterIncrease:
    """A counter increases by `minimum` to `maximum`. `meaning` is what it counts, in words."""

    counter: Counter
    meaning: str
    minimum: int | None = 1
    maximum: float | None = UNBOUNDED

    @property
    def reads(self) -> tuple[Counter | LogPattern, ...]:
        return (self.counter,)

    @property
    def expected(self) -> str:
        return f"{self.counter.workload}: {self.meaning}: {_range_text(self.minimum, self.maximum)}"

    def false_alarm_probability(self, requests: int) -> float:  # noqa: ARG002
        return 0.0

    def check(self, sample: Sample) -> CheckResult:
        requests = len(sample.results)
        if not requests:
            return _NO_REQUESTS
        increase = sample.counter_increases[self.counter]
        return CheckResult(_in_range(increase, self.minimum, self.maximum, requests), str(increase))


@dataclass(frozen=True)
class CounterMatches:
    """A counter increases by the number of matching responses, and at least one response matches."""

    counter: Counter
    meaning: str
    matcher: Matcher

    @property
    def reads(self) -> tuple[Counter | LogPattern, ...]:
        return (self.counter,)

    @property
    def expected(self) -> str:
        return f"{self.counter.workload}: {self.meaning}: one per response with {self.matcher.description}"

    def false_alarm_probability(self, requests: int) -> float:  # noqa: ARG002
        return 0.0

    def check(self, sample: Sample) -> CheckResult:
        found = sum(map(self.matcher.matches, sample.results))
        increase = sample.counter_increases[self.counter]
        return CheckResult(increase == found > 0, f"{increase} for {found} ({statuses(sample.results)})")


@dataclass(frozen=True)
class LogLines:
    """A proxy logs `minimum` to `maximum` matching lines during the traffic. `meaning` is what they show, in words."""

    log: LogPattern
    meaning: str
    minimum: int | None = ONE_PER_REQUEST
    maximum: float | None = ONE_PER_REQUEST

    @property
    def reads(self) -> tuple[Counter | LogPattern, ...]:
        return (self.log,)

    @property
    def expected(self) -> str:
        return f"{self.log.workload}: log lines with {self.meaning}: {_range_text(self.minimum, self.maximum)}"

    def false_alarm_probability(self, requests: int) -> float:  # noqa: ARG002
        return 0.0

    def check(self, sample: Sample) -> CheckResult:
        requests = len(sample.results)
        if not requests:
            return _NO_REQUESTS
        lines = sample.log_line_counts[self.log]
        passed = _in_range(lines, self.minimum, self.maximum, requests)
        return CheckResult(passed, f"{lines} lines for {requests} requests")


def _in_range(number: int, minimum: int | None, maximum: float | None, requests: int) -> bool:
    low = requests if minimum is None else minimum
    high = requests if maximum is None else maximum
    return low <= number <= high


def _range_text(minimum: int | None, maximum: float | None) -> str:
    if minimum == maximum:
        return "one per request" if minimum is None else str(minimum)
    if maximum == UNBOUNDED:
        return "one per request or more" if minimum is None else f"{minimum} or more"
    low = "one per request" if minimum is None else str(minimum)
    high = "one per request" if maximum is None else f"{maximum:g}"
    return f"{low} to {high}"

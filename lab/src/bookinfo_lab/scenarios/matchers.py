"""Properties of a single response."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bookinfo_client.send import Result


class Matcher(Protocol):
    """A property that a response has or lacks."""

    @property
    def description(self) -> str:
        """The end of a sentence that begins with `all responses …` or `no response …`."""

    def matches(self, result: Result) -> bool:
        """Return whether the response has the property."""

    def observed(self, results: Sequence[Result]) -> str:
        """Summarize this property of the responses."""


@dataclass(frozen=True)
class HasStatus:
    """The response has this status."""

    status: int

    @property
    def description(self) -> str:
        return f"status {self.status}"

    def matches(self, result: Result) -> bool:
        return result.status == self.status

    def observed(self, results: Sequence[Result]) -> str:
        return statuses(results)


@dataclass(frozen=True)
class ConnectionFailed:
    """The connection is refused, or closed before a response."""

    @property
    def description(self) -> str:
        return "connection closed without a response"

    def matches(self, result: Result) -> bool:
        return result.status == 0

    def observed(self, results: Sequence[Result]) -> str:
        return statuses(results)


@dataclass(frozen=True)
class Contains:
    """The response body contains this text."""

    text: str

    @property
    def description(self) -> str:
        return f"contains “{self.text}”"

    def matches(self, result: Result) -> bool:
        return self.text in result.body

    def observed(self, results: Sequence[Result]) -> str:
        found = sum(map(self.matches, results))
        return f"{found} of {len(results)}" + ("" if found else f" ({statuses(results)})")


@dataclass(frozen=True)
class ServedBy:
    """The response names a pod of this Deployment."""

    deployment: str

    @property
    def description(self) -> str:
        return f"served by {self.deployment}"

    def matches(self, result: Result) -> bool:
        return bool(re.search(rf"\b{re.escape(self.deployment)}-", result.body))

    def observed(self, results: Sequence[Result]) -> str:
        found = sum(map(self.matches, results))
        return f"{found} of {len(results)}, {100 * found / len(results):.1f} %"


@dataclass(frozen=True)
class Takes:
    """The response arrives after `minimum` to `maximum` seconds."""

    minimum: float
    maximum: float = float("inf")

    @property
    def description(self) -> str:
        if self.maximum == float("inf"):
            return f"after {self.minimum:g} s or more"
        return f"after {self.minimum:g} to {self.maximum:g} s" if self.minimum else f"within {self.maximum:g} s"

    def matches(self, result: Result) -> bool:
        return self.minimum <= result.seconds <= self.maximum

    def observed(self, results: Sequence[Result]) -> str:
        found = sum(map(self.matches, results))
        seconds = sorted(result.seconds for result in results)
        return f"{found} of {len(results)}; {seconds[0]:.2f} to {seconds[-1]:.2f} s"


@dataclass(frozen=True)
class HasHeader:
    """The response has a header, whose name is given in lower case, with this value."""

    name: str
    value: str

    @property
    def description(self) -> str:
        return f"header `{self.name}: {self.value}`"

    def matches(self, result: Result) -> bool:
        return result.headers.get(self.name) == self.value

    def observed(self, results: Sequence[Result]) -> str:
        return f"{sum(map(self.matches, results))} of {len(results)}"


@dataclass(frozen=True)
class AllOf:
    """The response has both properties."""

    one: Matcher
    other: Matcher

    @property
    def description(self) -> str:
        return f"{self.one.description} and {self.other.description}"

    def matches(self, result: Result) -> bool:
        return self.one.matches(result) and self.other.matches(result)

    def observed(self, results: Sequence[Result]) -> str:
        return f"{sum(map(self.matches, results))} of {len(results)}"


def statuses(results: Sequence[Result]) -> str:
    """Return `200: 95, 503: 5`, with the first error if some requests got no response."""
    counts = Counter(result.status for result in results)
    parts = [f"{status}: {count}" if status else f"no response: {count}" for status, count in sorted(counts.items())]
    error = next((result.error for result in results if result.error), "")
    return ", ".join(parts) + (f" ({error})" if error else "")

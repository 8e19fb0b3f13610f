"""What a single answer can be like."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bookinfo_client.send import Result


class Matcher(Protocol):
    """A property of an answer."""

    @property
    def phrase(self) -> str:
        """As in `all ...` and `none ...`."""

    def matches(self, result: Result) -> bool:
        """Whether an answer has it."""

    def seen(self, results: Sequence[Result]) -> str:
        """What there was in this respect."""


@dataclass(frozen=True)
class Answered:
    """With this status."""

    status: int

    @property
    def phrase(self) -> str:
        return f"answered {self.status}"

    def matches(self, result: Result) -> bool:
        return result.status == self.status

    def seen(self, results: Sequence[Result]) -> str:
        return statuses(results)


@dataclass(frozen=True)
class Unanswered:
    """The connection is refused or cut."""

    @property
    def phrase(self) -> str:
        return "cut off without an answer"

    def matches(self, result: Result) -> bool:
        return result.status == 0

    def seen(self, results: Sequence[Result]) -> str:
        return statuses(results)


@dataclass(frozen=True)
class Showing:
    """With this text in it."""

    text: str

    @property
    def phrase(self) -> str:
        return f"showing “{self.text}”"

    def matches(self, result: Result) -> bool:
        return self.text in result.body

    def seen(self, results: Sequence[Result]) -> str:
        found = sum(map(self.matches, results))
        return f"{found} of {len(results)}" + ("" if found else f" ({statuses(results)})")


@dataclass(frozen=True)
class ServedBy:
    """Reviews from a pod of this Deployment."""

    deployment: str

    @property
    def phrase(self) -> str:
        return f"served by {self.deployment}"

    def matches(self, result: Result) -> bool:
        return bool(re.search(rf"\b{re.escape(self.deployment)}-", result.body))

    def seen(self, results: Sequence[Result]) -> str:
        found = sum(map(self.matches, results))
        return f"{found} of {len(results)}, {100 * found / len(results):.1f} %"


@dataclass(frozen=True)
class Taking:
    """So many seconds."""

    at_least: float
    at_most: float = float("inf")

    @property
    def phrase(self) -> str:
        if self.at_most == float("inf"):
            return f"taking {self.at_least:g} s or longer"
        return f"taking {self.at_least:g} to {self.at_most:g} s" if self.at_least else f"within {self.at_most:g} s"

    def matches(self, result: Result) -> bool:
        return self.at_least <= result.seconds <= self.at_most

    def seen(self, results: Sequence[Result]) -> str:
        found = sum(map(self.matches, results))
        seconds = sorted(result.seconds for result in results)
        return f"{found} of {len(results)}; {seconds[0]:.2f} to {seconds[-1]:.2f} s"


@dataclass(frozen=True)
class Carrying:
    """A header of the answer; its name in lower case."""

    name: str
    value: str

    @property
    def phrase(self) -> str:
        return f"with the header `{self.name}: {self.value}`"

    def matches(self, result: Result) -> bool:
        return result.headers.get(self.name) == self.value

    def seen(self, results: Sequence[Result]) -> str:
        return f"{sum(map(self.matches, results))} of {len(results)}"


@dataclass(frozen=True)
class Both:
    """Two properties at once."""

    one: Matcher
    other: Matcher

    @property
    def phrase(self) -> str:
        return f"{self.one.phrase} and {self.other.phrase}"

    def matches(self, result: Result) -> bool:
        return self.one.matches(result) and self.other.matches(result)

    def seen(self, results: Sequence[Result]) -> str:
        return f"{sum(map(self.matches, results))} of {len(results)}"


def statuses(results: Sequence[Result]) -> str:
    """`200: 95, 503: 5`, and why there was no answer where there was none."""
    counts = Counter(result.status for result in results)
    parts = [f"{status}: {count}" if status else f"no answer: {count}" for status, count in sorted(counts.items())]
    why = next((result.error for result in results if result.error), "")
    return ", ".join(parts) + (f" ({why})" if why else "")

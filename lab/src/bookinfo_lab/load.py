"""Steady traffic, and what came back of it."""

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx

from bookinfo_lab.errors import LabError

_REVIEWS_POD = re.compile(r"\breviews-([a-z0-9-]+)-[0-9a-f]{6,10}-[a-z0-9]{5}\b")
_TIME_LIMIT = 30.0
_REPORT_PERIOD = 1.0


@dataclass(frozen=True)
class Answer:
    """What one request brought."""

    outcome: str  # the status, or why there is none
    version: str  # of the reviews on the page, or "none"
    seconds: float


@dataclass
class Tally:
    """All answers so far."""

    answers: list[Answer] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str, int, float, float, float]]:
        """By outcome and version: outcome, version, count, share of all in percent, median and p99 in milliseconds."""
        counts = Counter((answer.outcome, answer.version) for answer in self.answers)
        return [
            (outcome, version, count, 100 * count / len(self.answers), *self._latencies(outcome, version))
            for (outcome, version), count in sorted(counts.items())
        ]

    def line(self) -> str:
        """All of it in one line."""
        parts = [
            f"{outcome} {version}: {count} ({share:.0f} %), p50 {median:.0f} ms, p99 {slowest:.0f} ms"
            for outcome, version, count, share, median, slowest in self.rows()
        ]
        return f"{len(self.answers)} answers; " + "; ".join(parts)

    def _latencies(self, outcome: str, version: str) -> tuple[float, float]:
        milliseconds = sorted(
            1000 * answer.seconds for answer in self.answers if (answer.outcome, answer.version) == (outcome, version)
        )
        return _quantile(milliseconds, 0.5), _quantile(milliseconds, 0.99)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def version_on(page: str) -> str:
    """Which version of reviews wrote a page, told by its pod's name."""
    found = _REVIEWS_POD.search(page)
    return f"reviews {found[1]}" if found else "no reviews"


async def run(url: str, rps: float, duration: float, users: Sequence[str]) -> AsyncIterator[Tally]:
    """Ask for `url` `rps` times a second for `duration` seconds, as each of `users` in turn; yield the tally at times.

    The pace does not wait for answers: slow ones pile up, as they do with real users.

    Raises:
        LabError: a user cannot sign in.
    """
    tally = Tally()
    sessions = [await _session(url, user) for user in users or [""]]
    try:
        sending = asyncio.create_task(_send(sessions, url, rps, duration, tally))
        while not sending.done():
            await asyncio.wait([sending], timeout=_REPORT_PERIOD)
            yield tally
        sending.result()
    finally:
        sending.cancel()
        for session in sessions:
            await session.aclose()


async def _session(url: str, user: str) -> httpx.AsyncClient:
    client = httpx.AsyncClient(trust_env=False, timeout=_TIME_LIMIT)
    if user:
        try:
            answer = await client.post(httpx.URL(url).join("/login"), data={"username": user, "passwd": ""})
        except httpx.HTTPError as error:
            raise LabError(f"{url}: {error}") from error
        if not client.cookies:
            raise LabError(f"{user} cannot sign in: {answer.status_code} from /login")
    return client


async def _send(sessions: Sequence[httpx.AsyncClient], url: str, rps: float, duration: float, tally: Tally) -> None:
    began = time.monotonic()
    async with asyncio.TaskGroup() as requests:
        for number in itertools.count():
            due = number / rps
            if due >= duration:
                return
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            requests.create_task(_ask(sessions[number % len(sessions)], url, tally))


async def _ask(session: httpx.AsyncClient, url: str, tally: Tally) -> None:
    began = time.monotonic()
    try:
        answer = await session.get(url)
        outcome, version = str(answer.status_code), version_on(answer.text)
    except httpx.HTTPError as error:
        outcome, version = type(error).__name__, "no page"
    tally.answers.append(Answer(outcome, version, time.monotonic() - began))

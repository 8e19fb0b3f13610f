"""Steady traffic, and what came back of it."""

import asyncio
import itertools
import re
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx

from bookinfo_lab.errors import LabError
from bookinfo_lab.quantiles import quantile

WINDOW = 5.0
"""Seconds over which what comes back now is counted, so that a rule that is applied can be seen to take hold."""

_REVIEWS_POD = re.compile(r"\breviews-([a-z0-9-]+)-[0-9a-f]{6,10}-[a-z0-9]{5}\b")
_TIME_LIMIT = 30.0
_REPORT_PERIOD = 1.0
_NO_PAGE = "no page"


@dataclass(frozen=True)
class Answer:
    """What one request brought."""

    outcome: str  # the status, or why there is none
    version: str  # of the reviews on the page
    seconds: float
    at: float  # when it came, in seconds of a monotonic clock


@dataclass(frozen=True)
class Row:
    """What came back with one outcome and one version of reviews."""

    outcome: str
    version: str
    total: int  # since the start
    recent: int  # of the last seconds, and so are the others
    share: float  # percent
    median: float  # milliseconds; 0 where nothing is recent
    p99: float


@dataclass
class Tally:
    """What came back so far, and of it what came in the last `WINDOW` seconds."""

    _recent: deque[Answer] = field(default_factory=deque)
    _times: dict[tuple[str, str], "array[float]"] = field(default_factory=dict)  # milliseconds, since the start

    @property
    def total(self) -> int:
        """How many requests have ended."""
        return sum(map(len, self._times.values()))

    @property
    def answered(self) -> bool:
        """Whether any of them brought an answer, of whatever status."""
        return any(version != _NO_PAGE for _, version in self._times)

    def add(self, answer: Answer) -> None:
        """Count one more; answers are added as they come."""
        self._recent.append(answer)
        self._times.setdefault((answer.outcome, answer.version), array("d")).append(1000 * answer.seconds)

    def rows(self, now: float) -> list[Row]:
        """The last seconds before `now`, beside the totals."""
        while self._recent and self._recent[0].at < now - WINDOW:
            self._recent.popleft()
        recent: dict[tuple[str, str], list[float]] = {}
        for answer in self._recent:
            recent.setdefault((answer.outcome, answer.version), []).append(1000 * answer.seconds)
        return [
            _row(key, len(times), recent.get(key, []), len(self._recent)) for key, times in sorted(self._times.items())
        ]

    def line(self, now: float) -> str:
        """The last seconds in one line."""
        rows = [row for row in self.rows(now) if row.recent]
        return f"{self.total} answers, and of the last {WINDOW:g} s: {_parts(rows) or 'none'}"

    def summary(self) -> str:
        """All of it in one line."""
        total = self.total
        return f"{total} answers; " + _parts(
            [_row(key, len(times), times, total) for key, times in sorted(self._times.items())]
        )


def _row(key: tuple[str, str], total: int, times: Sequence[float], of: int) -> Row:
    ordered = sorted(times)
    share = 100 * len(ordered) / of if of else 0.0
    return Row(*key, total, len(ordered), share, quantile(ordered, 0.5), quantile(ordered, 0.99))


def _parts(rows: Sequence[Row]) -> str:
    return "; ".join(
        f"{row.outcome} {row.version}: {row.recent} ({row.share:.0f} %), p50 {row.median:.0f} ms, p99 {row.p99:.0f} ms"
        for row in rows
    )


def version_on(page: str) -> str:
    """Which version of reviews wrote a page, told by its pod's name."""
    found = _REVIEWS_POD.search(page)
    return f"reviews {found[1]}" if found else "no reviews"


def page_url(text: str) -> httpx.URL:
    """The URL of a page.

    Raises:
        LabError: it is none.
    """
    hint = "write it like http://localhost:8080/productpage"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise LabError(f"{text!r} is not a URL: {error}; {hint}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise LabError(f"{text!r} is not the URL of a page; {hint}")
    return url


async def run(tally: Tally, url: httpx.URL, rps: float, duration: float, users: Sequence[str]) -> AsyncIterator[None]:
    """Ask for `url` `rps` times a second for `duration` seconds, as each of `users` in turn, and add to `tally`.

    Yields each second, and at the end. The pace does not wait for answers: slow ones pile up, as they do with real
    users, each on a connection of its own.

    Raises:
        LabError: a user cannot sign in.
    """
    sessions = [await _session(url, user) for user in users or [""]]
    try:
        sending = asyncio.create_task(_send(sessions, url, rps, duration, tally))
        while not sending.done():
            await asyncio.wait([sending], timeout=_REPORT_PERIOD)
            yield
        sending.result()
    finally:
        sending.cancel()
        for session in sessions:
            await session.aclose()


async def _session(url: httpx.URL, user: str) -> httpx.AsyncClient:
    # httpx would otherwise let requests wait for one of 100 connections.
    unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx.AsyncClient(trust_env=False, timeout=_TIME_LIMIT, limits=unlimited)
    if user:
        try:
            answer = await client.post(url.join("/login"), data={"username": user, "passwd": ""})
        except httpx.HTTPError as error:
            raise LabError(f"{user} cannot sign in at {url}: {str(error) or type(error).__name__}") from error
        if not client.cookies:
            raise LabError(f"{user} cannot sign in: {answer.status_code} from /login")
    return client


async def _send(
    sessions: Sequence[httpx.AsyncClient], url: httpx.URL, rps: float, duration: float, tally: Tally
) -> None:
    began = time.monotonic()
    async with asyncio.TaskGroup() as requests:
        for number in itertools.count():
            due = number / rps
            if due >= duration:
                return
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            requests.create_task(_ask(sessions[number % len(sessions)], url, tally))


async def _ask(session: httpx.AsyncClient, url: httpx.URL, tally: Tally) -> None:
    began = time.monotonic()
    try:
        answer = await session.get(url)
        outcome, version = str(answer.status_code), version_on(answer.text)
    except httpx.HTTPError as error:
        outcome, version = type(error).__name__, _NO_PAGE
    ended = time.monotonic()
    tally.add(Answer(outcome, version, ended - began, ended))

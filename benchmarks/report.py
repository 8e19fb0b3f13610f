"""From samples to a report: medians, the ratios of what was measured side by side, and the targets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from rich.table import Table

MIB = 1024 * 1024


@dataclass(frozen=True)
class Window:
    """One chain under load for a few seconds. Times in seconds; `cpu` by service, for the whole window."""

    pages: int
    seconds: float
    cpu: Mapping[str, float]
    p50: float
    p99: float

    @property
    def cpu_per_page(self) -> float:
        """CPU seconds of all four services for one page."""
        return sum(self.cpu.values()) / self.pages

    @property
    def pages_per_second(self) -> float:
        """Throughput."""
        return self.pages / self.seconds


@dataclass(frozen=True)
class Pair:
    """The two chains, measured one right after the other."""

    bookinfo: Window
    floor: Window


@dataclass(frozen=True)
class Memory:
    """Proportional set size in bytes by service: after the first answer, and after the load."""

    idle: Mapping[str, int]
    loaded: Mapping[str, int]


@dataclass(frozen=True)
class ColdStarts:
    """Seconds from a process' start to its first 200 by service, and those of `python -c "import fastapi"` beside."""

    services: Mapping[str, float]
    import_fastapi: float


@dataclass(frozen=True)
class Results:
    """Everything that was measured. `noise` is the greatest share of the machine that others used in one sample."""

    connections: int
    pairs: Sequence[Pair]
    bookinfo_memory: Memory
    floor_memory: Memory
    cold_starts: Sequence[ColdStarts]
    noise: float
    forced: bool


@dataclass(frozen=True)
class Spread:
    """A median, and the least and the greatest value beside it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of one or more values."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])


@dataclass(frozen=True)
class Target:
    """A figure and its limit."""

    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether the figure keeps to its limit."""
        return self.value <= self.limit


MEASURES: Mapping[str, tuple[Callable[[Window], float], float]] = {
    "CPU ms per page": (lambda window: window.cpu_per_page, 1000),
    "pages/s": (lambda window: window.pages_per_second, 1),
    "p50 ms": (lambda window: window.p50, 1000),
    "p99 ms": (lambda window: window.p99, 1000),
}
"""What of a window is reported, and what a second is multiplied by for that."""


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of the values lie. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def ratios(pairs: Sequence[Pair], measure: Callable[[Window], float]) -> Spread:
    """How many times the floor's the services' measure is: pair by pair, so that slow moments hit both alike."""
    return Spread.of(measure(pair.bookinfo) / measure(pair.floor) for pair in pairs)


def cold_start(results: Results, service: str) -> Spread:
    """A service's seconds to its first 200."""
    return Spread.of(each.services[service] for each in results.cold_starts)


def targets(results: Results) -> list[Target]:
    """What is to be reached, and what was."""
    pairs = results.pairs
    slowest = max(cold_start(results, service).median for service in results.bookinfo_memory.idle)
    return [
        Target("CPU per page, times the floor's", ratios(pairs, lambda window: window.cpu_per_page).median, 4),
        Target("p99, times the floor's", ratios(pairs, lambda window: window.p99).median, 5),
        Target("PSS of all four under load, MiB", sum(results.bookinfo_memory.loaded.values()) / MIB, 200),
        Target("slowest service's first 200, s", slowest, 0.6),
    ]


def as_json(results: Results) -> dict[str, Any]:
    """For machines: the summary first, then every sample."""
    return {
        "connections": results.connections,
        "noise": results.noise,
        "forced": results.forced,
        "targets": [asdict(target) | {"met": target.met} for target in targets(results)],
        "ratios": {name: asdict(ratios(results.pairs, measure)) for name, (measure, _) in MEASURES.items()},
        "pairs": [asdict(pair) for pair in results.pairs],
        "pss_bytes": {"bookinfo": asdict(results.bookinfo_memory), "floor": asdict(results.floor_memory)},
        "cold_starts": [asdict(each) for each in results.cold_starts],
    }


def tables(results: Results) -> list[Table]:
    """For people."""
    return [_load_table(results), _service_table(results), _target_table(results)]


def _load_table(results: Results) -> Table:
    table = _table(f"/productpage, {results.connections} connections, {len(results.pairs)} pairs of windows")
    for heading in ("", "bookinfo", "floor", "ratio (min..max)"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, (measure, factor) in MEASURES.items():
        sides = [[measure(getattr(pair, side)) * factor for pair in results.pairs] for side in ("bookinfo", "floor")]
        ratio = ratios(results.pairs, measure)
        table.add_row(
            name,
            *(f"{median(values):.2f}" for values in sides),
            f"{ratio.median:.2f} ({ratio.low:.2f}..{ratio.high:.2f})",
        )
    return table


def _service_table(results: Results) -> Table:
    table = _table("each service")
    headings = ("", "CPU ms", "floor's", "PSS MiB", "loaded", "floor's", "first 200 s")
    for heading in headings:
        table.add_column(heading, justify="left" if not heading else "right")
    memory = results.bookinfo_memory
    for service in memory.idle:
        start = cold_start(results, service)
        table.add_row(
            service,
            f"{median(pair.bookinfo.cpu[service] / pair.bookinfo.pages for pair in results.pairs) * 1000:.3f}",
            f"{median(pair.floor.cpu[service] / pair.floor.pages for pair in results.pairs) * 1000:.3f}",
            f"{memory.idle[service] / MIB:.1f}",
            f"{memory.loaded[service] / MIB:.1f}",
            f"{results.floor_memory.loaded[service] / MIB:.1f}",
            f"{start.median:.2f} ({start.low:.2f}..{start.high:.2f})",
        )
    fastapi = Spread.of(each.import_fastapi for each in results.cold_starts)
    table.add_row("import fastapi", *[""] * 5, f"{fastapi.median:.2f} ({fastapi.low:.2f}..{fastapi.high:.2f})")
    return table


def _target_table(results: Results) -> Table:
    table = _table("targets")
    for heading in ("", "at most", "is", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for target in targets(results):
        table.add_row(target.name, f"{target.limit:g}", f"{target.value:.2f}", "met" if target.met else "missed")
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))

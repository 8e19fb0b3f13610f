"""From samples to a report: medians, ratios of the windows of a pair, and targets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from rich.table import Table

MIB = 1024 * 1024


@dataclass(frozen=True)
class Window:
    """The measurement of one chain under load. Times are in seconds. `cpu` is by service, for the whole window."""

    pages: int
    seconds: float
    cpu: Mapping[str, float]
    p50: float
    p99: float

    @property
    def cpu_per_page(self) -> float:
        """CPU seconds of all services for one page."""
        return sum(self.cpu.values()) / self.pages

    @property
    def pages_per_second(self) -> float:
        """Throughput."""
        return self.pages / self.seconds


@dataclass(frozen=True)
class Pair:
    """The windows of the two chains, measured directly one after the other."""

    bookinfo: Window
    floor: Window


@dataclass(frozen=True)
class Memory:
    """Proportional set size in bytes by service: after the first response, and after the load."""

    idle: Mapping[str, int]
    loaded: Mapping[str, int]


@dataclass(frozen=True)
class ColdStarts:
    """Seconds from the start of a process to its first 200 response, and those of `python -c "import fastapi"`."""

    services: Mapping[str, float]
    import_fastapi: float


@dataclass(frozen=True)
class Results:
    """All measurements. `noise` is the largest share of the machine that other processes used in a sample."""

    connections: int
    pairs: Sequence[Pair]
    bookinfo_memory: Memory
    floor_memory: Memory
    cold_starts: Sequence[ColdStarts]
    noise: float
    forced: bool


@dataclass(frozen=True)
class Spread:
    """A median with the minimum and the maximum."""

    median: float
    low: float
    high: float

    @classmethod
    def from_values(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of one or more values."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True)
class Target:
    """A figure and its limit."""

    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


MEASURES: Mapping[str, tuple[Callable[[Window], float], float]] = {
    "CPU ms per page": (lambda window: window.cpu_per_page, 1000),
    "pages/s": (lambda window: window.pages_per_second, 1),
    "p50 ms": (lambda window: window.p50, 1000),
    "p99 ms": (lambda window: window.p99, 1000),
}
"""The reported measures of a window, each with the factor from its unit to the reported unit."""


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of the values do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def ratios(pairs: Sequence[Pair], measure: Callable[[Window], float]) -> Spread:
    """Return the ratio of the services to the floor, per pair, so that noise affects both in the same way."""
    return Spread.from_values(measure(pair.bookinfo) / measure(pair.floor) for pair in pairs)


def cold_start(results: Results, service: str) -> Spread:
    """Return the seconds of a service to its first 200 response."""
    return Spread.from_values(each.services[service] for each in results.cold_starts)


def targets(results: Results) -> list[Target]:
    """Return the targets with the measured values."""
    pairs = results.pairs
    slowest = max(cold_start(results, service).median for service in results.bookinfo_memory.idle)
    return [
        Target("CPU per page, ratio to the floor", ratios(pairs, lambda window: window.cpu_per_page).median, 4),
        Target("p99, ratio to the floor", ratios(pairs, lambda window: window.p99).median, 5),
        Target("PSS of all four under load, MiB", sum(results.bookinfo_memory.loaded.values()) / MIB, 200),
        Target("first 200 of the slowest service, s", slowest, 0.6),
    ]


def as_json(results: Results) -> dict[str, Any]:
    """Return the results as JSON: the summary, then all samples."""
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
    """Return the results as tables."""
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
    table = _table("services")
    headings = ("", "CPU ms", "floor", "PSS MiB", "loaded", "floor", "first 200 s")
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
    fastapi = Spread.from_values(each.import_fastapi for each in results.cold_starts)
    table.add_row("import fastapi", *[""] * 5, f"{fastapi.median:.2f} ({fastapi.low:.2f}..{fastapi.high:.2f})")
    return table


def _target_table(results: Results) -> Table:
    table = _table("targets")
    for heading in ("", "at most", "measured", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for target in targets(results):
        table.add_row(target.name, f"{target.limit:g}", f"{target.value:.2f}", "met" if target.met else "missed")
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))

"""The figures of a report."""

import io
import json

import pytest
from benchmarks.report import (
    ColdStarts,
    Memory,
    Pair,
    Results,
    Spread,
    Window,
    as_json,
    percentile,
    ratios,
    tables,
    targets,
)
from rich.console import Console

SERVICES = ("ratings", "productpage")


def window(cpu: float, pages: int = 100, p99: float = 0.01) -> Window:
    """Return a window with `cpu` seconds in each service."""
    return Window(pages, 2.0, dict.fromkeys(SERVICES, cpu), p99 / 2, p99)


def results(pairs: list[Pair], pss: int = 10, start: float = 0.5) -> Results:
    memory = Memory(dict.fromkeys(SERVICES, pss // 2), dict.fromkeys(SERVICES, pss))
    starts = ColdStarts(dict.fromkeys(SERVICES, start), 0.4)
    return Results(32, pairs, memory, memory, [starts], 0.02, forced=False)


def test_the_cpu_of_a_window_is_the_sum_of_all_services_per_page() -> None:
    assert window(0.3).cpu_per_page == pytest.approx(0.006)
    assert window(0.3).pages_per_second == 50


def test_ratios_compare_the_windows_of_a_pair() -> None:
    pairs = [Pair(window(0.2), window(0.1)), Pair(window(0.9), window(0.3)), Pair(window(0.8), window(0.1))]
    spread = ratios(pairs, lambda each: each.cpu_per_page)
    assert (spread.median, spread.low, spread.high) == pytest.approx((3, 2, 8))


def test_a_spread_contains_median_minimum_and_maximum() -> None:
    assert Spread.from_values([3, 1, 10]) == Spread(3, 1, 10)


@pytest.mark.parametrize(
    ("values", "percent", "expected"), [([7.0], 99, 7.0), (list(range(101)), 99, 99), ([1, 3], 50, 2)]
)
def test_a_percentile_is_interpolated(values: list[float], percent: int, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_percentile_of_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (results([Pair(window(0.39), window(0.1))]), set()),
        (results([Pair(window(0.41), window(0.1))]), {"CPU per page, ratio to the floor"}),
        (results([Pair(window(0.1, p99=0.051), window(0.1))]), {"p99, ratio to the floor"}),
        (results([Pair(window(0.1), window(0.1))], pss=101 * 1024 * 1024), {"PSS of all four under load, MiB"}),
        (results([Pair(window(0.1), window(0.1))], start=0.61), {"first 200 of the slowest service, s"}),
    ],
)
def test_a_target_is_missed_above_its_limit(found: Results, missed: set[str]) -> None:
    assert {target.name for target in targets(found) if not target.met} == missed


def test_the_json_contains_all_samples_and_the_summary() -> None:
    document = json.loads(json.dumps(as_json(results([Pair(window(0.2), window(0.1))]))))
    assert document["ratios"]["CPU ms per page"]["median"] == pytest.approx(2)
    assert document["pairs"][0]["bookinfo"]["cpu"] == {"ratings": 0.2, "productpage": 0.2}
    assert {"targets", "pss_bytes", "cold_starts", "noise", "forced", "connections"} <= document.keys()


def test_the_tables_contain_every_service_and_result() -> None:
    console = Console(file=io.StringIO(), width=120)
    for table in tables(results([Pair(window(0.5), window(0.1))])):
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in text for word in (*SERVICES, "import fastapi", "missed", "met", "5.00 (5.00..5.00)"))

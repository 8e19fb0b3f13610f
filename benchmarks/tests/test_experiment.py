"""Correct figures: parity of the chains, and a machine without other load."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.accounting import MachineUse, cpu_seconds, pss_bytes
from benchmarks.chain import ENTRY, HOPS, BenchmarkError, floor_command, service_environment
from benchmarks.experiment import COUNTED, collect
from benchmarks.floor import record, replay
from benchmarks.load import PARTS, check_page
from benchmarks.wire import Response

PORTS = {hop.name: 9000 + number for number, hop in enumerate(HOPS)}


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The share of the machine that other processes use in each sample."""
    shares: list[float] = []
    remaining: Iterator[float] = iter(shares)
    monkeypatch.setattr(MachineUse, "foreign_since", lambda *_: next(remaining))
    return shares


async def _sample() -> str:
    return "sample"


def test_a_noisy_sample_is_repeated(noise: list[float]) -> None:
    noise += [0.02, 0.5, 0.05]
    assert asyncio.run(collect(_sample, 2, [os.getpid()], forced=False)) == (["sample"] * 2, 0.05)


def test_persistent_noise_is_an_error(noise: list[float]) -> None:
    noise += [0.5] * 100
    with pytest.raises(BenchmarkError, match=r"used up to 50% of the machine .* in 5 of 5 samples"):
        asyncio.run(collect(_sample, 2, [os.getpid()], forced=False))


def test_forced_samples_are_kept_with_their_noise(noise: list[float]) -> None:
    noise += [0.5, 0.7]
    assert asyncio.run(collect(_sample, 2, [os.getpid()], forced=True)) == (["sample"] * 2, 0.7)


def test_cpu_of_a_child_is_not_foreign() -> None:
    start, end = MachineUse(10, 4, 100), MachineUse(30, 14, 200)
    assert end.foreign_since(start) == pytest.approx(0.1)


def test_cpu_and_memory_of_this_process_are_read() -> None:
    assert 0 < cpu_seconds(os.getpid()) <= cpu_seconds(os.getpid(), with_children=True)
    assert 1024**2 < pss_bytes(os.getpid()) < 1024**4


@pytest.mark.parametrize("lost", PARTS)
def test_a_page_without_the_part_of_a_backend_is_an_error(lost: bytes) -> None:
    check_page(Response(200, b"", b" ".join(PARTS)))
    with pytest.raises(BenchmarkError, match=lost.decode()):
        check_page(Response(200, b"", b" ".join(part for part in PARTS if part != lost)))


def test_a_status_other_than_200_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="503"):
        check_page(Response(503, b"", b" ".join(PARTS)))


def test_requests_are_read_from_metrics_by_route_and_status() -> None:
    text = b'http_requests_total{method="GET",route="/ratings/{product_id}",status="200"} 12.0\n'
    assert COUNTED.findall(text) == [(b"/ratings/{product_id}", b"200", b"12.0")]


def test_the_floor_replays_the_response_of_a_service(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: text/html\r\ncontent-length: 4"
    record({"details": Response(200, head, "für".encode())}, tmp_path / "responses.json")
    assert replay(tmp_path / "responses.json", "details") == ([(b"content-type", b"text/html")], "für".encode())


def test_both_chains_have_the_same_shape() -> None:
    environment = service_environment(ENTRY, PORTS)
    assert environment["REVIEWS_SERVICE_PORT"] == str(PORTS["reviews"])
    assert floor_command(ENTRY, PORTS, Path("a"))[-2:] == [
        f"{PORTS['details']}/details/0",
        f"{PORTS['reviews']}/reviews/0",
    ]


def test_a_failed_run_reports_the_cause(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def fail(*_: object) -> None:
        raise BenchmarkError("a page returned 503")

    monkeypatch.setattr("benchmarks.__main__.run", fail)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit, match="bench: no figures: a page returned 503"):
        main()

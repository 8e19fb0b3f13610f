"""The experiment: parity, then load on both chains alternately, then memory and cold starts."""

import asyncio
import os
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks.accounting import MachineUse, cpu_seconds, pss_bytes
from benchmarks.chain import (
    ENTRY,
    HOPS,
    HOST,
    BenchmarkError,
    Chain,
    Process,
    free_ports,
    service_command,
    service_environment,
)
from benchmarks.floor import record
from benchmarks.load import check_page, load
from benchmarks.report import ColdStarts, Memory, Pair, Results, Window, percentile
from benchmarks.wire import Connection, Response, get_request

NOISE_LIMIT = 0.10
"""Share of the machine that other processes may use during a sample."""

ATTEMPTS = 3
"""Noisy samples are repeated. Factor between the maximum and the desired number of samples."""

WARM_UP_SECONDS = 1.0
PARITY_SECONDS = 0.3
COUNTED = re.compile(rb'^http_requests_total\{method="GET",route="([^"]+)",status="(\d+)"\} (\S+)$', re.MULTILINE)

Sample = TypeVar("Sample")
Report = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """The extent of the measurement. `forced`: report figures even if other processes used the machine."""

    connections: int = 32
    pairs: int = 7
    window_seconds: float = 4.0
    cold_starts: int = 5
    forced: bool = False


async def run(options: Options, report: Report) -> Results:
    """Measure. Raises `BenchmarkError` if correct figures cannot be measured."""
    async with _chains() as (bookinfo, floor):
        report("parity: the floor and the services send the same bytes, and the services count all requests")
        await check_responses(bookinfo, floor)
        await check_counts(bookinfo, options.connections)
        idle = {chain.name: _pss(chain) for chain in (bookinfo, floor)}
        pids = [os.getpid(), *_pids(bookinfo), *_pids(floor)]
        for chain in (bookinfo, floor):
            await load(chain.ports[ENTRY.name], options.connections, WARM_UP_SECONDS)

        async def pair() -> Pair:
            windows = {}
            for chain in random.sample([bookinfo, floor], k=2):
                windows[chain.name] = await window(chain, options.connections, options.window_seconds)
            return Pair(**windows)

        report(f"load: {options.pairs} pairs of {options.window_seconds:g} s windows")
        pairs, load_noise = await collect(pair, options.pairs, pids, forced=options.forced)
        loaded = {chain.name: _pss(chain) for chain in (bookinfo, floor)}
        report(f"cold starts: {options.cold_starts} of each service")
        starts, start_noise = await collect(
            lambda: cold_starts(bookinfo), options.cold_starts, pids, forced=options.forced
        )
    return Results(
        connections=options.connections,
        pairs=pairs,
        bookinfo_memory=Memory(idle["bookinfo"], loaded["bookinfo"]),
        floor_memory=Memory(idle["floor"], loaded["floor"]),
        cold_starts=starts,
        noise=max(load_noise, start_noise),
        forced=options.forced,
    )


@asynccontextmanager
async def _chains() -> AsyncIterator[tuple[Chain, Chain]]:
    bookinfo = await Chain.start_services()
    try:
        with TemporaryDirectory() as directory:
            responses = Path(directory) / "responses.json"
            record(bookinfo.responses, responses)
            floor = await Chain.start_floor(responses)
        try:
            yield bookinfo, floor
        finally:
            floor.stop()
    finally:
        bookinfo.stop()


async def check_responses(bookinfo: Chain, floor: Chain) -> None:
    """Check that both chains send the same bytes, and that the page is complete. Raises `BenchmarkError`."""
    check_page(await get(bookinfo.ports[ENTRY.name], ENTRY.path))
    for hop in HOPS:
        real, bare = bookinfo.responses[hop.name], await get(floor.ports[hop.name], hop.path)
        if (real.status, real.body) != (bare.status, bare.body):
            raise BenchmarkError(f"parity: the floor's {hop.name} sends other bytes for {hop.path} than the service")


async def check_counts(bookinfo: Chain, connections: int) -> None:
    """Check that each service counts all requests, with status 200. Raises `BenchmarkError`."""
    before = await count_requests(bookinfo)
    sent = await load(bookinfo.ports[ENTRY.name], connections, PARITY_SECONDS)
    after = await count_requests(bookinfo)
    for hop in HOPS:
        if (count := after[hop.name] - before[hop.name]) != sent.pages:
            raise BenchmarkError(f"parity: {hop.name} counted {count} of {sent.pages} requests with status 200")


async def count_requests(bookinfo: Chain) -> dict[str, int]:
    """Return the number of requests with status 200 for the path of each service, according to its metrics."""
    counts = {}
    for hop in HOPS:
        text = (await get(bookinfo.ports[hop.name], "/metrics")).body
        template = hop.path.replace("/0", "/{product_id}").encode()
        counts[hop.name] = sum(
            int(float(value))
            for route, status, value in COUNTED.findall(text)
            if route == template and status == b"200"
        )
    return counts


async def window(chain: Chain, connections: int, seconds: float) -> Window:
    """Load one chain, and measure its CPU."""
    before = {name: cpu_seconds(process.pid) for name, process in chain.processes.items()}
    done = await load(chain.ports[ENTRY.name], connections, seconds)
    cpu = {name: cpu_seconds(process.pid) - before[name] for name, process in chain.processes.items()}
    return Window(done.pages, done.seconds, cpu, percentile(done.latencies, 50), percentile(done.latencies, 99))


async def cold_starts(bookinfo: Chain) -> ColdStarts:
    """Start each service once more while the others run. Measure the import of FastAPI for comparison."""
    seconds = {}
    for hop in random.sample(HOPS, k=len(HOPS)):
        ports = {**bookinfo.ports, hop.name: free_ports()[hop.name]}
        process = Process(hop.name, ports[hop.name], service_command(hop), service_environment(hop, ports))
        try:
            _, seconds[hop.name] = await process.first_response(hop.path)
        finally:
            process.stop()
    start = time.perf_counter()
    python = await asyncio.create_subprocess_exec(sys.executable, "-c", "import fastapi")
    await python.wait()
    return ColdStarts(seconds, time.perf_counter() - start)


async def collect(
    take_sample: Callable[[], Awaitable[Sample]], count: int, pids: list[int], *, forced: bool
) -> tuple[list[Sample], float]:
    """Return `count` samples without noise, and the largest share of the machine that other processes used in one.

    A noisy sample is repeated. Raises `BenchmarkError` after too many noisy samples.
    """
    samples: list[Sample] = []
    noise: list[float] = []
    noisy: list[float] = []
    while len(samples) < count:
        start = MachineUse.now(pids)
        sample = await take_sample()
        foreign = MachineUse.now(pids).foreign_since(start)
        if foreign <= NOISE_LIMIT or forced:
            samples.append(sample)
            noise.append(foreign)
        else:
            noisy.append(foreign)
        if len(noisy) > count * (ATTEMPTS - 1):
            raise BenchmarkError(
                f"other processes used up to {max(noisy):.0%} of the machine ({NOISE_LIMIT:.0%} is the limit) in "
                f"{len(noisy)} of {len(noisy) + len(samples)} samples; wait until they exit, or use --force"
            )
    return samples, max(noise)


async def get(port: int, path: str) -> Response:
    """GET a path on a new connection."""
    connection = await Connection.open(HOST, port)
    try:
        return await connection.request(get_request(HOST, path))
    finally:
        connection.close()


def _pids(chain: Chain) -> list[int]:
    return [process.pid for process in chain.processes.values()]


def _pss(chain: Chain) -> dict[str, int]:
    return {name: pss_bytes(process.pid) for name, process in chain.processes.items()}

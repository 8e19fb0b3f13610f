"""The experiment: parity first, then both chains in turns, then memory and cold starts."""

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
from benchmarks.wire import Answer, Connection, get_request

NOISE_LIMIT = 0.10
"""The share of the machine that other processes may use in a sample."""

ATTEMPTS = 3
"""A noisy sample is taken again: this many times as many samples as are wanted, and no more."""

WARM_UP_SECONDS = 1.0
PARITY_SECONDS = 0.3
COUNTED = re.compile(rb'^http_requests_total\{method="GET",route="([^"]+)",status="(\d+)"\} (\S+)$', re.MULTILINE)

Sample = TypeVar("Sample")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured. `forced`: report even if others used the machine."""

    connections: int = 32
    pairs: int = 7
    window_seconds: float = 4.0
    cold_starts: int = 5
    forced: bool = False


async def run(plan: Plan, say: Say) -> Results:
    """Measure. Raises `BenchmarkError` when the figures would not be true."""
    async with _chains() as (bookinfo, floor):
        say("parity: the floor's answers are the services', and the services count what is asked")
        await check_answers(bookinfo, floor)
        await check_counts(bookinfo, plan.connections)
        idle = {chain.name: _pss(chain) for chain in (bookinfo, floor)}
        pids = [os.getpid(), *_pids(bookinfo), *_pids(floor)]
        for chain in (bookinfo, floor):
            await load(chain.ports[ENTRY.name], plan.connections, WARM_UP_SECONDS)

        async def pair() -> Pair:
            windows = {}
            for chain in random.sample([bookinfo, floor], k=2):
                windows[chain.name] = await window(chain, plan.connections, plan.window_seconds)
            return Pair(**windows)

        say(f"load: {plan.pairs} pairs of {plan.window_seconds:g} s windows")
        pairs, load_noise = await collect(pair, plan.pairs, pids, forced=plan.forced)
        loaded = {chain.name: _pss(chain) for chain in (bookinfo, floor)}
        say(f"cold starts: {plan.cold_starts} of each service")
        starts, start_noise = await collect(lambda: cold_starts(bookinfo), plan.cold_starts, pids, forced=plan.forced)
    return Results(
        connections=plan.connections,
        pairs=pairs,
        bookinfo_memory=Memory(idle["bookinfo"], loaded["bookinfo"]),
        floor_memory=Memory(idle["floor"], loaded["floor"]),
        cold_starts=starts,
        noise=max(load_noise, start_noise),
        forced=plan.forced,
    )


@asynccontextmanager
async def _chains() -> AsyncIterator[tuple[Chain, Chain]]:
    bookinfo = await Chain.of_services()
    try:
        with TemporaryDirectory() as folder:
            answers = Path(folder) / "answers.json"
            record(bookinfo.answers, answers)
            floor = await Chain.of_floor(answers)
        try:
            yield bookinfo, floor
        finally:
            floor.stop()
    finally:
        bookinfo.stop()


async def check_answers(bookinfo: Chain, floor: Chain) -> None:
    """The floor gives the services' bytes, and the page holds every backend's part. Raises `BenchmarkError`."""
    check_page(await ask(bookinfo.ports[ENTRY.name], ENTRY.path))
    for hop in HOPS:
        real, bare = bookinfo.answers[hop.name], await ask(floor.ports[hop.name], hop.path)
        if (real.status, real.body) != (bare.status, bare.body):
            raise BenchmarkError(f"parity: the floor's {hop.name} gives other bytes for {hop.path} than the service")


async def check_counts(bookinfo: Chain, connections: int) -> None:
    """Each service counts as many requests as it was sent, all with status 200. Raises `BenchmarkError`."""
    before = await counted(bookinfo)
    sent = await load(bookinfo.ports[ENTRY.name], connections, PARITY_SECONDS)
    after = await counted(bookinfo)
    for hop in HOPS:
        if (found := after[hop.name] - before[hop.name]) != sent.pages:
            raise BenchmarkError(f"parity: {hop.name} counted {found} requests with 200 of {sent.pages} sent")


async def counted(bookinfo: Chain) -> dict[str, int]:
    """How many requests for its path each service has answered with 200, as its metrics say."""
    found = {}
    for hop in HOPS:
        text = (await ask(bookinfo.ports[hop.name], "/metrics")).body
        template = hop.path.replace("/0", "/{product_id}").encode()
        found[hop.name] = sum(
            int(float(value))
            for route, status, value in COUNTED.findall(text)
            if route == template and status == b"200"
        )
    return found


async def window(chain: Chain, connections: int, seconds: float) -> Window:
    """Load on one chain, and what it used meanwhile."""
    before = {name: cpu_seconds(process.pid) for name, process in chain.processes.items()}
    done = await load(chain.ports[ENTRY.name], connections, seconds)
    cpu = {name: cpu_seconds(process.pid) - before[name] for name, process in chain.processes.items()}
    return Window(done.pages, done.seconds, cpu, percentile(done.latencies, 50), percentile(done.latencies, 99))


async def cold_starts(bookinfo: Chain) -> ColdStarts:
    """Start each service once more, alone, its callees running; and FastAPI's import beside, for the machine's pace."""
    seconds = {}
    for hop in random.sample(HOPS, k=len(HOPS)):
        ports = {**bookinfo.ports, hop.name: free_ports()[hop.name]}
        process = Process(hop.name, ports[hop.name], service_command(hop), service_environment(hop, ports))
        try:
            _, seconds[hop.name] = await process.first_answer(hop.path)
        finally:
            process.stop()
    start = time.perf_counter()
    python = await asyncio.create_subprocess_exec(sys.executable, "-c", "import fastapi")
    await python.wait()
    return ColdStarts(seconds, time.perf_counter() - start)


async def collect(
    take: Callable[[], Awaitable[Sample]], wanted: int, pids: list[int], *, forced: bool
) -> tuple[list[Sample], float]:
    """So many samples in which others left the machine alone, and the greatest share that they used in one of them.

    A noisy sample is thrown away and taken again, for a bounded number of times. Raises `BenchmarkError` after that.
    """
    samples: list[Sample] = []
    noise: list[float] = []
    refused: list[float] = []
    while len(samples) < wanted:
        start = MachineUse.now(pids)
        sample = await take()
        foreign = MachineUse.now(pids).foreign_since(start)
        if foreign <= NOISE_LIMIT or forced:
            samples.append(sample)
            noise.append(foreign)
        else:
            refused.append(foreign)
        if len(refused) > wanted * (ATTEMPTS - 1):
            raise BenchmarkError(
                f"other processes used up to {max(refused):.0%} of the machine ({NOISE_LIMIT:.0%} is the limit) in "
                f"{len(refused)} of {len(refused) + len(samples)} samples; wait until they are done, or use --force"
            )
    return samples, max(noise)


async def ask(port: int, path: str) -> Answer:
    """One GET on a connection of its own."""
    connection = await Connection.open(HOST, port)
    try:
        return await connection.request(get_request(HOST, path))
    finally:
        connection.close()


def _pids(chain: Chain) -> list[int]:
    return [process.pid for process in chain.processes.values()]


def _pss(chain: Chain) -> dict[str, int]:
    return {name: pss_bytes(process.pid) for name, process in chain.processes.items()}

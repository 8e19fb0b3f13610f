"""`python -m benchmarks.tracing` measures the cost of tracing: without it, switched off, at 1 % and at 100 %.

It measures the CPU per page with many connections, and the latency with one connection, which shows delays by the
exporter's thread. It loads the chains alternately in random order and checks every page.
"""

import argparse
import multiprocessing
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

from benchmarks.chain import ENTRY, HOPS, HOST, BenchmarkError, Chain
from benchmarks.experiment import window
from benchmarks.load import load
from benchmarks.report import Window

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

SPANS_PER_PAGE = 2 * len(HOPS) - 1
"""A server span for each service, and a client span for each call."""

WARM_UP_SECONDS = 1.0


class Sink:
    """A collector that only counts spans, in a separate process, so that it does not delay the measurement."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._spans = context.Value("q", 0)
        self._port = context.Value("i", 0)
        self._process = context.Process(target=_serve, args=(self._spans, self._port), daemon=True)

    @property
    def spans(self) -> int:
        """The number of received spans."""
        return int(self._spans.value)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run the collector. Yield its URL."""
        self._process.start()
        while not self._port.value:
            time.sleep(0.01)
        try:
            yield f"http://{HOST}:{self._port.value}"
        finally:
            self._process.terminate()
            self._process.join()


def _serve(spans: "Synchronized[int]", port: "Synchronized[int]") -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            export = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            with spans.get_lock():
                spans.value += sum(len(scope.spans) for item in export.resource_spans for scope in item.scope_spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    port.value = server.server_port
    server.serve_forever()


def variants(url: str) -> Mapping[str, Mapping[str, str]]:
    """Return the environment of each compared chain by its description."""
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    return {
        "no OTEL_ variable": {},
        "OTEL_SDK_DISABLED": on | {"OTEL_SDK_DISABLED": "true"},
        "1 % sampled": on | ratio,
        "100 % sampled": on,
    }


async def measure(rounds: int, seconds: float, connections: int) -> Mapping[str, tuple[list[Window], list[Window]]]:
    """Return the windows of each variant with many connections and with one. Raises `BenchmarkError`."""
    sink = Sink()
    many: defaultdict[str, list[Window]] = defaultdict(list)
    one: defaultdict[str, list[Window]] = defaultdict(list)
    chains: list[Chain] = []
    with sink.serving() as url:
        try:
            for name, environment in variants(url).items():
                chains.append(await Chain.start_services(name, environment))
            for chain in chains:
                before = sink.spans
                await load(chain.ports[ENTRY.name], connections, WARM_UP_SECONDS)
                received_many = sink.spans - before > 50 * SPANS_PER_PAGE
                if received_many != chain.name.startswith("100"):
                    raise BenchmarkError(f"{chain.name}: received {sink.spans - before} spans")
            for _ in range(rounds):
                for chain in random.sample(chains, k=len(chains)):
                    many[chain.name].append(await window(chain, connections, seconds))
                    one[chain.name].append(await window(chain, 1, seconds))
        finally:
            for chain in chains:
                chain.stop()
    return {chain.name: (many[chain.name], one[chain.name]) for chain in chains}


def table(windows: Mapping[str, tuple[list[Window], list[Window]]], connections: int) -> Table:
    """Return the medians, and the ratio of the CPU to the first variant in each round."""
    result = Table(
        "traces",
        f"CPU ms per page, {connections} connections",
        "relative",
        "p50 ms, 1 connection",
        "p99 ms",
    )
    first = [item.cpu_per_page for item in next(iter(windows.values()))[0]]
    for name, (many, one) in windows.items():
        cpu = [item.cpu_per_page for item in many]
        ratios = [mine / theirs for mine, theirs in zip(cpu, first, strict=True)]
        result.add_row(
            name,
            f"{1000 * statistics.median(cpu):.2f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})",
            f"{1000 * statistics.median(item.p50 for item in one):.1f}",
            f"{1000 * statistics.median(item.p99 for item in one):.1f}",
        )
    return result


def main() -> None:
    """Print the table, or exit with 1 if correct figures cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a window; default: %(default)s")
    parser.add_argument("--connections", type=int, default=32, help="number of connections; default: %(default)s")
    options = parser.parse_args()
    try:
        windows = uvloop.run(measure(options.rounds, options.seconds, options.connections))
    except BenchmarkError as error:
        sys.exit(f"bench: no figures: {error}")
    Console().print(table(windows, options.connections))


if __name__ == "__main__":
    main()

"""`python -m benchmarks` measures the services and the floor, prints tables and writes JSON."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import NoReturn

import uvloop
from rich.console import Console

from benchmarks.chain import BenchmarkError
from benchmarks.experiment import Options, run
from benchmarks.report import as_json, tables


def main() -> None:
    """Print the figures and exit with 0, or exit with 1 if correct figures cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure a few short windows; imprecise")
    parser.add_argument("--force", action="store_true", help="report even if other processes used the machine")
    parser.add_argument(
        "--connections", type=int, default=Options.connections, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the figures and every sample as JSON")
    arguments = parser.parse_args()
    if arguments.connections < 1:
        parser.error("--connections must be 1 or more")
    signal.signal(signal.SIGTERM, _exit)  # like Ctrl-C: stop the started processes

    options = Options(connections=arguments.connections, forced=arguments.force)
    if arguments.quick:
        options = Options(arguments.connections, pairs=3, window_seconds=1.5, cold_starts=2, forced=arguments.force)
    console = Console()
    try:
        results = uvloop.run(run(options, console.print))
    except BenchmarkError as error:
        sys.exit(f"bench: no figures: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    for table in tables(results):
        console.print(table, "")
    console.print(f"other processes used at most {results.noise:.0%} of the machine in a sample")
    if results.forced:
        console.print("[bold red]--force: do not compare these figures with others[/]")
    if arguments.output:
        arguments.output.write_text(json.dumps(as_json(results), indent=2) + "\n")
        console.print(f"written: {arguments.output}")


def _exit(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

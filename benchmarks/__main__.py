"""`python -m benchmarks` measures the services beside the floor, prints tables and writes JSON."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import NoReturn

import uvloop
from rich.console import Console

from benchmarks.chain import BenchmarkError
from benchmarks.experiment import Plan, run
from benchmarks.report import as_json, tables


def main() -> None:
    """Exit code 0 when there are figures, 1 when they would not be true."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few short windows: to look, not to report")
    parser.add_argument("--force", action="store_true", help="report even if other processes used the machine")
    parser.add_argument("--connections", type=int, default=Plan.connections, metavar="N", help="default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the figures and every sample as JSON")
    options = parser.parse_args()
    if options.connections < 1:
        parser.error("--connections must be 1 or more")
    signal.signal(signal.SIGTERM, _exit)  # as Ctrl-C does: what was started is stopped

    plan = Plan(connections=options.connections, forced=options.force)
    if options.quick:
        plan = Plan(options.connections, pairs=3, window_seconds=1.5, cold_starts=2, forced=options.force)
    console = Console()
    try:
        results = uvloop.run(run(plan, console.print))
    except BenchmarkError as error:
        sys.exit(f"bench: no figures: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    for table in tables(results):
        console.print(table, "")
    console.print(f"other processes used at most {results.noise:.0%} of the machine in a sample")
    if results.forced:
        console.print("[bold red]forced: do not compare these figures with others[/]")
    if options.output:
        options.output.write_text(json.dumps(as_json(results), indent=2) + "\n")
        console.print(f"written: {options.output}")


def _exit(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

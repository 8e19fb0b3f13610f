"""A real Prometheus, and a client of its API."""

import json
import math
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bookinfo_testing.network import free_port
from bookinfo_testing.polling import eventually
from bookinfo_testing.processes import running


@dataclass(frozen=True)
class Prometheus:
    """A client of the HTTP API of a running Prometheus."""

    url: str

    def api(self, path: str, **query: str) -> Any:
        """Return the data of a response of the API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=20) as response:
            return json.load(response)["data"]

    def samples(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each sample of an instant query, without NaN."""
        samples = [
            (sample["metric"], float(sample["value"][1])) for sample in self.api("query", query=expression)["result"]
        ]
        return [(labels, value) for labels, value in samples if not math.isnan(value)]

    def without_data(self, queries: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the queries, by title, that return no sample."""
        return {title: expression for title, expression in queries if not self.samples(expression)}

    def has_data(self, expression: str) -> bool:
        """Whether a query returns samples. False as long as Prometheus does not respond."""
        try:
            return bool(self.samples(expression))
        except OSError:
            return False

    def alerts(self) -> set[str]:
        """Return the names of the alerts that are pending or firing."""
        return {alert["labels"]["alertname"] for alert in self.api("alerts")["alerts"]}

    def unhealthy_rules(self) -> dict[str, str]:
        """Return the error of each rule that Prometheus could not evaluate; `unknown` before its first evaluation."""
        rules = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule.get("lastError", rule["health"]) for rule in rules if rule["health"] != "ok"}


@contextmanager
def run_prometheus(configuration: str, directory: Path, first_query: str = "up == 1") -> Iterator[Prometheus]:
    """Run Prometheus with its files in `directory`. Start the block when `first_query` has data.

    Skip the test if the program is missing.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no `prometheus` on PATH; install Prometheus (Debian: prometheus)")
    (directory / "prometheus.yaml").write_text(configuration)
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={directory / 'prometheus.yaml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    log = directory / "log"
    with running(command, log, os.environ) as process:
        prometheus = Prometheus(f"http://{address}")

        def has_data() -> bool:
            assert process.poll() is None, f"Prometheus exited: {log.read_text()}"
            return prometheus.has_data(first_query)

        eventually(has_data, within=90, interval=0.2)
        yield prometheus

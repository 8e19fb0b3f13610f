"""The queries of the dashboards and rules, as a Prometheus takes them, and what one answers."""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
EVERY = ".*"
"""What Grafana puts in place of a variable when all is chosen."""


def panels(dashboard: str, choices: Mapping[str, str], interval: str = "30s") -> Iterator[tuple[str, str]]:
    """Panel and PromQL of each query of a dashboard, with `choices` for its variables."""
    whole = json.loads((ROOT / f"observability/dashboards/{dashboard}.json").read_text())
    for panel in whole["panels"]:
        for target in panel.get("targets", []):
            expr = Template(target["expr"]).substitute(choices, __rate_interval=interval)
            yield f"{panel['title']} ({target['refId']})", expr


def recorded(file: str) -> list[str]:
    """The names that a file of rules records."""
    groups = yaml.safe_load((ROOT / f"observability/rules/{file}.yaml").read_text())["groups"]
    return [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def api(self, path: str, **query: str) -> Any:
        """The data of an answer of its API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=20) as answer:
            return json.load(answer)["data"]

    def values(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample that is a number."""
        samples = [(sample["metric"], float(sample["value"][1])) for sample in self.api("query", query=expr)["result"]]
        return [(labels, value) for labels, value in samples if not math.isnan(value)]

    def silent(self, queries: Iterator[tuple[str, str]]) -> dict[str, str]:
        """Those queries, by title, that find nothing."""
        return {title: expr for title, expr in queries if not self.values(expr)}

    def alerts(self) -> set[str]:
        """What is pending or fires."""
        return {alert["labels"]["alertname"] for alert in self.api("alerts")["alerts"]}

    def sick_rules(self) -> dict[str, str]:
        """Rules that Prometheus could not evaluate, and why; `unknown` before the first time."""
        found = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule.get("lastError", rule["health"]) for rule in found if rule["health"] != "ok"}

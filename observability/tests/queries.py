"""The queries of the dashboards and rules, as a Prometheus takes them, and what one answers."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

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

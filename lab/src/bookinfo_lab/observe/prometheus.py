"""What a Prometheus needs to scrape a lab."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bookinfo_lab.resources.conventions import METRICS_PORT
from bookinfo_lab.resources.topology import Topology, Workload

TARGETS_PATH = "/targets"
"""Where a lab tells them, in the form of Prometheus' HTTP service discovery."""

_INTERVAL = "2s"
_DISCOVERY_INTERVAL = "5s"

TargetGroup = dict[str, Any]


def targets(topology: Topology) -> list[TargetGroup]:
    """Every workload that serves, with the labels that rules and dashboards rest on.

    The form: https://prometheus.io/docs/prometheus/latest/http_sd/
    """
    return [
        {"targets": [f"{workload.address}:{_port(workload)}"], "labels": _labels(topology, workload)}
        for workload in topology.workloads
        if workload.ports
    ]


def config(url: str, rules: Path | None, static: Sequence[TargetGroup] | None = None) -> dict[str, Any]:
    """A whole prometheus.yml for the lab whose telemetry is at `url`, with the rule files in the folder `rules`.

    Prometheus asks the lab for its targets, and so learns of each pod that comes and goes, unless they are given.
    """
    discovery: Mapping[str, Any] = {
        "http_sd_configs": [{"url": f"{url}{TARGETS_PATH}", "refresh_interval": _DISCOVERY_INTERVAL}]
    }
    return {
        "global": {"scrape_interval": _INTERVAL, "scrape_timeout": "1s", "evaluation_interval": _INTERVAL},
        **({"rule_files": [f"{rules}/*.yaml"]} if rules else {}),
        "scrape_configs": [
            {"job_name": "bookinfo", **(discovery if static is None else {"static_configs": list(static)})},
            {"job_name": "istio", "static_configs": [{"targets": [urlsplit(url).netloc]}]},
        ],
    }


def _port(workload: Workload) -> int:
    return METRICS_PORT if workload.sidecar else next(iter(workload.ports.values()))


def _labels(topology: Topology, workload: Workload) -> dict[str, str]:
    service = topology.service_of(workload)
    labels = {
        "app": workload.app,
        "version": workload.version,
        "service": service.name if service else "",
        "namespace": workload.namespace,
        "workload": workload.deployment,
        "pod": workload.name,
    }
    return {name: value for name, value in labels.items() if value}

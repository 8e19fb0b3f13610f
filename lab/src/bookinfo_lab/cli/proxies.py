"""`bookinfo proxy`, `config` and `prometheus-config`: what the proxies of a lab report about themselves."""

import asyncio
import json
import os
from typing import Annotated

import typer

from bookinfo_lab.cli import lab_requests
from bookinfo_lab.cli.options import OBSERVE, LabOption, WorkloadArgument


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (proxy, config, prometheus_config):
        app.command(rich_help_panel=OBSERVE)(command)


def proxy(
    workload: WorkloadArgument,
    path: Annotated[str, typer.Argument(help="A path of the admin interface, such as /clusters.")],
    lab: LabOption = "default",
) -> None:
    """Read the admin interface of the Envoy of a workload, or of a gateway such as istio-ingressgateway."""
    typer.echo(lab_requests.read_admin(lab, workload, path), nl=False)


def config(workload: WorkloadArgument, lab: LabOption = "default") -> None:
    """Print the current configuration of the Envoy of a workload."""
    typer.echo(lab_requests.read_admin(lab, workload, "/config_dump?include_eds"), nl=False)


def prometheus_config(
    static: Annotated[
        bool,
        typer.Option("--static", help="List the current pods, instead of the URL of the lab's service discovery."),
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Print a prometheus.yml that scrapes the services of the lab and the Istio metrics of its proxies."""
    from urllib.parse import urlsplit

    import yaml

    from bookinfo_lab import repository
    from bookinfo_lab.client import http
    from bookinfo_lab.observe import prometheus

    url = lab_requests.send(lab, "/status")["telemetry"]
    rules = repository.find(os.environ) / repository.RULES
    address = urlsplit(url)
    target = (address.hostname or "", address.port or 0)
    groups = json.loads(asyncio.run(http.request(target, prometheus.TARGETS_PATH)).text) if static else None
    typer.echo(
        yaml.safe_dump(prometheus.config(url, rules if rules.is_dir() else None, groups), sort_keys=False), nl=False
    )

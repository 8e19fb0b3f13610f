"""`bookinfo apply`, `delete`, `get`, `describe`, `reset` and `scale`."""

import json
import sys
from typing import Annotated

import typer

from bookinfo_lab.cli import lab_requests, output
from bookinfo_lab.cli.options import RULES, LabOption, ManifestsOption, WorkloadArgument
from bookinfo_lab.client import control
from bookinfo_lab.errors import LabError


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (apply, delete, get, describe, reset, scale):
        app.command(rich_help_panel=RULES)(command)


def apply(filename: ManifestsOption, lab: LabOption = "default") -> None:
    """Apply all objects of manifests, or none. Return when every Envoy uses them."""
    _send_manifests(lab, "/apply", filename)


def delete(
    filename: ManifestsOption,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="Exit with 0 if an object does not exist.")
    ] = False,
    lab: LabOption = "default",
) -> None:
    """Delete the objects of manifests."""
    missing = any(line.endswith("not found") for line in _send_manifests(lab, "/delete", filename))
    if missing and not ignore_not_found:
        raise typer.Exit(1)


def get(
    kind: Annotated[
        str | None, typer.Argument(help="A kind, such as virtualservice or vs. Default: all kinds.")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="The name of an object.")] = None,
    output_format: Annotated[str | None, typer.Option("--output", "-o", help="yaml or json.")] = None,
    lab: LabOption = "default",
) -> None:
    """List the applied objects."""
    from urllib.parse import urlencode

    from bookinfo_lab.resources.store import display_kinds

    query = urlencode({key: value for key, value in (("kind", kind), ("name", name)) if value})
    objects = lab_requests.send(lab, f"/objects?{query}")
    if output_format == "json":
        typer.echo(json.dumps(objects, indent=2))
    elif output_format == "yaml":
        import yaml

        typer.echo(yaml.safe_dump_all(objects, sort_keys=False), nl=False)
    elif output_format is None:
        if not objects:
            typer.echo(f"no {kind or 'object'} is applied", err=True)
            return
        rows = [
            [display_kind, item["metadata"].get("namespace", "default"), item["metadata"]["name"]]
            for display_kind, item in zip(display_kinds(objects), objects, strict=True)
        ]
        output.table(("kind", "namespace", "name"), rows)
    else:
        raise LabError(f"--output: invalid value {output_format!r}; use yaml or json")


def describe(workload: WorkloadArgument, lab: LabOption = "default") -> None:
    """Show a workload: its identity, its rules, its environment and the fields that the lab ignores."""
    response = lab_requests.send(lab, f"/workloads/{workload}")
    for key in ("name", "deployment", "namespace", "address", "state", "spiffe_id", "folder"):
        if key in response:
            typer.echo(f"{key.replace('_', ' ')}: {response[key]}")
    output.section("labels", [f"{name}={value}" for name, value in sorted(response["labels"].items())])
    output.section("rules", response["rules"])
    if "env" in response:
        output.section("environment", [f"{name}={value}" for name, value in sorted(response["env"].items())])
        output.section("ignored fields", response["ignored_fields"])


def reset(lab: LabOption = "default") -> None:
    """Restore the objects that the lab started with."""
    lab_requests.send(lab, "/reset", method="POST")
    typer.echo("restored the workloads and the gateway that the lab started with")


def scale(
    deployment: Annotated[str, typer.Argument(help="The name of a Deployment, such as ratings-v1.")],
    replicas: Annotated[int, typer.Option(min=0, help="The number of pods.")],
    lab: LabOption = "default",
) -> None:
    """Change the number of pods of a Deployment."""
    body = json.dumps({"deployment": deployment, "replicas": replicas}).encode()
    for line in lab_requests.send(lab, "/scale", method="POST", body=body):
        typer.echo(line)


def _send_manifests(lab: str, path: str, filenames: list[str]) -> list[str]:
    sources = [source for name in filenames for source in control.sources(name, sys.stdin)]
    lines: list[str] = lab_requests.send(lab, path, method="POST", body=json.dumps(sources).encode())
    for line in lines:
        typer.echo(line)
    return lines

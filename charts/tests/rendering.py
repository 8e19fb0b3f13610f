"""Render the chart with a real Helm, and query the rendered objects."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from bookinfo_testing.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/bookinfo"
VALUES = sorted([*CHART.glob("ci/*-values.yaml"), *CHART.glob("values-*.yaml")])
"""The values files whose rendered objects are tested: those in ci/, and the overlays."""

SERVICES = ("details", "productpage", "ratings", "reviews")
GRAPH = {("productpage", "details"), ("productpage", "reviews"), ("reviews", "ratings")}
"""The edges of the service graph: caller and service."""

Object = dict[str, Any]
Objects = list[Object]
Overlay = Callable[[str], Objects]


def load_tool(name: str) -> ModuleType:
    """Return a script of charts/tools as a module."""
    return load_script(ROOT / f"charts/tools/{name}.py")


HELM_TOOL = load_tool("helm")


class HelmError(Exception):
    """Helm failed. The message is its standard error."""


@dataclass(frozen=True)
class Helm:
    """A real helm binary, which runs without the user's configuration."""

    path: Path

    def run(self, *arguments: str) -> str:
        """Return the standard output of `helm ARGUMENTS`. Raise `HelmError` if it fails."""
        with tempfile.TemporaryDirectory() as home:  # without the repositories, plugins and clusters of the user
            done = subprocess.run(
                [str(self.path), *arguments],
                capture_output=True,
                text=True,
                timeout=120,
                env={"HOME": home, "PATH": "/usr/bin:/bin", "KUBECONFIG": f"{home}/none"},
            )
        if done.returncode:
            raise HelmError("\n".join(line for line in done.stderr.splitlines() if HELM_TOOL.SYMLINK_NOTE not in line))
        return done.stdout

    def render(
        self,
        values: Mapping[str, Any] | None = None,
        *files: Path,
        chart: Path = CHART,
        release: str = "bookinfo",
        namespace: str = "default",
        kubernetes: str = "1.34.0",
    ) -> Objects:
        """Return all objects of a release, including hooks. Raise `HelmError` if Helm fails."""
        text = self._template(json.dumps(values or {}), files, chart, release, namespace, kubernetes)
        objects: Objects = json.loads(text)
        return objects

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one Helm lives as long as the session
    def _template(
        self, values: str, files: tuple[Path, ...], chart: Path, release: str, namespace: str, kubernetes: str
    ) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as values_file:
            values_file.write(values)
            values_file.flush()
            arguments = ["template", release, str(chart), "--namespace", namespace, "--kube-version", kubernetes]
            for file in [*files, Path(values_file.name)]:
                arguments += ["--values", str(file)]
            documents = yaml.load_all(self.run(*arguments), Loader=StrictLoader)
            return json.dumps([document for document in documents if document])


class StrictLoader(yaml.CSafeLoader):
    """A YAML loader that rejects duplicate keys, like the Kubernetes API."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def of_kind(objects: Objects, *kinds: str) -> Objects:
    """Return the objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def named(objects: Objects, kind: str, name: str) -> Object:
    """Return the only object of this kind and name."""
    (item,) = [item for item in of_kind(objects, kind) if item["metadata"]["name"] == name]
    return item


def identities(objects: Objects) -> set[tuple[str, str]]:
    """Return the kind and name of every object."""
    return {(item["kind"], item["metadata"]["name"]) for item in objects}


def is_test(item: Object) -> bool:
    """Return whether an object exists only during `helm test`."""
    hooks: str = item["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return hooks == "test"


def released(objects: Objects) -> Objects:
    """Return the objects of a release without those that exist only during `helm test`."""
    return [item for item in objects if not is_test(item)]


def pods(objects: Objects) -> Iterator[tuple[str, Object]]:
    """Yield the name and the pod (metadata and spec) of every Deployment and Pod."""
    for item in of_kind(objects, "Deployment"):
        yield item["metadata"]["name"], item["spec"]["template"]
    for item in of_kind(objects, "Pod"):
        yield item["metadata"]["name"], item


def container(objects: Objects, deployment: str) -> Object:
    """Return the only container of a Deployment."""
    containers: Objects = named(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    (only,) = containers
    return only


def environment(objects: Objects, deployment: str) -> dict[str, Any]:
    """Return the environment variables of a Deployment: their values, or the sources of their values."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(objects, deployment)["env"]}


def run_probe(
    seconds: float, expected: str, *urls: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program of the test pods, files/probe.py, as a pod does."""
    command = [sys.executable, "-c", (CHART / "files/probe.py").read_text(), str(seconds), expected, *urls]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env={**os.environ, **(environ or {})})


def copy_chart(directory: Path) -> Path:
    """Copy the chart into a directory, with its symbolic links followed, so that a test can change it."""
    return Path(shutil.copytree(CHART, directory / "bookinfo", symlinks=False))

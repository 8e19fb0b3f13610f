"""Renders the chart with a real Helm, and looks into what came out."""

import functools
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/bookinfo"
VALUES = sorted([*CHART.glob("ci/*-values.yaml"), *CHART.glob("values-*.yaml")])
"""Every rendering that is held to the rules: the cases of ci/, and the overlays."""

SERVICES = ("details", "productpage", "ratings", "reviews")

Object = dict[str, Any]
Objects = list[Object]


class RefusedError(Exception):
    """Helm refused to render; the message is what it told."""


@dataclass(frozen=True)
class Helm:
    """A real helm."""

    path: Path

    def run(self, *arguments: str) -> str:
        """Its standard output. Raises `RefusedError` with its standard error."""
        with tempfile.TemporaryDirectory() as home:  # no repositories, no plugins, no cluster of this machine's user
            done = subprocess.run(
                [str(self.path), *arguments],
                capture_output=True,
                text=True,
                timeout=120,
                env={"HOME": home, "PATH": "/usr/bin:/bin", "KUBECONFIG": f"{home}/none"},
            )
        if done.returncode:
            told = [line for line in done.stderr.splitlines() if "found symbolic link in path" not in line]
            raise RefusedError("\n".join(told))
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
        """All objects of a release, hooks too. Raises `RefusedError`."""
        text = self._template(json.dumps(values or {}), files, chart, release, namespace, kubernetes)
        objects: Objects = json.loads(text)
        return objects

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one Helm lives as long as the session
    def _template(
        self, values: str, files: tuple[Path, ...], chart: Path, release: str, namespace: str, kubernetes: str
    ) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as given:
            given.write(values)
            given.flush()
            arguments = ["template", release, str(chart), "--namespace", namespace, "--kube-version", kubernetes]
            for file in [*files, Path(given.name)]:
                arguments += ["--values", str(file)]
            documents = yaml.load_all(self.run(*arguments), Loader=Loader)
            return json.dumps([document for document in documents if document])


class Loader(yaml.CSafeLoader):
    """As strict as Kubernetes' API: a key twice in a mapping is an error, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def of_kind(objects: Objects, *kinds: str) -> Objects:
    """The objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def named(objects: Objects, kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    (found,) = [item for item in of_kind(objects, kind) if item["metadata"]["name"] == name]
    return found


def identities(objects: Objects) -> set[tuple[str, str]]:
    """Kind and name of every object."""
    return {(item["kind"], item["metadata"]["name"]) for item in objects}


def is_test(item: Object) -> bool:
    """Whether an object exists only while `helm test` runs."""
    hooks: str = item["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return hooks == "test"


def released(objects: Objects) -> Objects:
    """The objects that a release keeps."""
    return [item for item in objects if not is_test(item)]


def pods(objects: Objects) -> Iterator[tuple[str, Object]]:
    """Name and pod (metadata and spec) of every Deployment and Pod."""
    for item in of_kind(objects, "Deployment"):
        yield item["metadata"]["name"], item["spec"]["template"]
    for item in of_kind(objects, "Pod"):
        yield item["metadata"]["name"], item


def container(objects: Objects, deployment: str) -> Object:
    """The container of a Deployment."""
    (found,) = named(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    found_container: Object = found
    return found_container


def environment(objects: Objects, deployment: str) -> dict[str, Any]:
    """Its environment: values, or where they come from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(objects, deployment)["env"]}

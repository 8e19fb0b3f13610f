"""`istioctl analyze` has nothing to say of the manifests and of the chart's renderings, where there is an istioctl."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, Object, manifests, read

FILES = sorted({item.file for item in manifests("istio")})
RENDERINGS = sorted(path.name for path in (ROOT / "charts/bookinfo/ci").glob("*-values.yaml"))
WORKLOADS = [item.body for item in manifests("kubernetes")]

pytestmark = [
    pytest.mark.unproven("istioctl-analyze"),
    pytest.mark.skipif(shutil.which("istioctl") is None, reason="install istioctl: it analyzes the manifests"),
]


def pods(items: Iterable[Object]) -> list[Object]:
    """What a cluster makes of Deployments: istioctl looks for the pods that a selector means, with their sidecars."""
    found = []
    for item in items:
        if item["kind"] == "Deployment":
            template = item["spec"]["template"]
            proxy = {"name": "istio-proxy", "image": "auto"}
            spec = {**template["spec"], "containers": [*template["spec"]["containers"], proxy]}
            metadata = {"name": f"{item['metadata']['name']}-1", "labels": template["metadata"]["labels"]}
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return found


def around() -> list[Object]:
    """What the mesh manifests refer to: the workloads with their pods, and Istio's ingress gateway."""
    where = {"name": "istio-ingressgateway", "namespace": "istio-system", "labels": {"istio": "ingressgateway"}}
    ports = [{"name": "http2", "port": 80, "targetPort": 8080}, {"name": "http", "port": 8080, "targetPort": 8080}]
    gateway = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": where,
            "spec": {"selector": where["labels"], "ports": ports},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": where,
            "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]},
        },
    ]
    return [*WORKLOADS, *pods(WORKLOADS), *gateway]


def told(items: Iterable[Object], folder: Path) -> list[str]:
    """What istioctl finds in these objects and what they refer to; an object that is named twice counts once."""
    by_name = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item for item in items}
    file = folder / "all.yaml"
    file.write_text(yaml.safe_dump_all(by_name.values()))
    command = ["istioctl", "analyze", "--use-kube=false", "--failure-threshold=Info", "--color=false", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.findall(r"^(?:Info|Warning|Error).*", done.stdout + done.stderr, re.MULTILINE)
    assert found or done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("file", FILES)
def test_of_a_manifest(file: str, tmp_path: Path) -> None:
    before = ["istio/gateway/destination-rules.yaml", "istio/gateway/bookinfo-gateway.yaml"]
    if file.startswith("istio/ambient/"):
        before.append("istio/ambient/waypoint.yaml")
    assert told([*around(), *(item for name in (*before, file) for item in read(name))], tmp_path) == []


@pytest.mark.parametrize("values", RENDERINGS)
def test_of_a_rendering_of_the_chart(values: str, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "charts/tools/helm.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    command = [
        found.stdout.strip(),
        "template",
        "bookinfo",
        "charts/bookinfo",
        "--values",
        f"charts/bookinfo/ci/{values}",
    ]
    rendered = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    items = [item for item in yaml.safe_load_all(rendered) if item]
    assert told([*items, *pods(items), *around()[-2:]], tmp_path) == []

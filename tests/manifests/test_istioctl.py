"""`istioctl analyze` reports no problem in the manifests and in the rendered chart. Needs istioctl."""

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
    """Return the pods of Deployments, with sidecars, because istioctl resolves selectors."""
    found = []
    for item in items:
        if item["kind"] == "Deployment":
            template = item["spec"]["template"]
            proxy = {"name": "istio-proxy", "image": "auto"}
            spec = {**template["spec"], "containers": [*template["spec"]["containers"], proxy]}
            metadata = {"name": f"{item['metadata']['name']}-1", "labels": template["metadata"]["labels"]}
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return found


def environment() -> list[Object]:
    """Return the objects that mesh manifests refer to: workloads, their pods, and the ingress gateway."""
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


def findings(items: Iterable[Object], folder: Path) -> list[str]:
    """Return the messages of istioctl for these objects. The last object of a name counts."""
    by_name = {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item for item in items}
    file = folder / "all.yaml"
    file.write_text(yaml.safe_dump_all(by_name.values()))
    command = ["istioctl", "analyze", "--use-kube=false", "--failure-threshold=Info", "--color=false", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.findall(r"^(?:Info|Warning|Error).*", done.stdout + done.stderr, re.MULTILINE)
    assert found or done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("file", FILES)
def test_manifest_has_no_findings(file: str, tmp_path: Path) -> None:
    before = ["istio/gateway/destination-rules.yaml", "istio/gateway/bookinfo-gateway.yaml"]
    if file.startswith("istio/ambient/"):
        before.append("istio/ambient/waypoint.yaml")
    assert findings([*environment(), *(item for name in (*before, file) for item in read(name))], tmp_path) == []


@pytest.mark.parametrize("values", RENDERINGS)
def test_rendered_chart_has_no_findings(values: str, tmp_path: Path) -> None:
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
    assert findings([*items, *pods(items), *environment()[-2:]], tmp_path) == []

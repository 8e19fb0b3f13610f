"""The paths of the project's manifests in its checkout."""

from collections.abc import Mapping
from pathlib import Path

from bookinfo_lab.errors import LabError

IMAGES = "images.yaml"
WORKLOADS = "kubernetes/bookinfo.yaml"
GATEWAY = "istio/gateway/bookinfo-gateway.yaml"
RULES = "observability/rules"
SUBSETS = "istio/gateway/destination-rules.yaml"


def find(environ: Mapping[str, str]) -> Path:
    """Return the checkout: `BOOKINFO_HOME`, or the checkout that this package is installed from. Raise `LabError`."""
    home = Path(environ["BOOKINFO_HOME"]) if environ.get("BOOKINFO_HOME") else Path(__file__).parents[3]
    for name in (IMAGES, WORKLOADS, GATEWAY, SUBSETS):
        if not (home / name).is_file():
            raise LabError(f"{home} does not contain {name}; set BOOKINFO_HOME to a checkout of Bookinfo")
    return home

"""Where the project's own manifests are: the lab runs what the checkout says."""

from collections.abc import Mapping
from pathlib import Path

from bookinfo_lab.errors import LabError

IMAGES = "images.yaml"
WORKLOADS = "kubernetes/bookinfo.yaml"
GATEWAY = "istio/gateway/bookinfo-gateway.yaml"
RULES = "observability/rules"
SUBSETS = "istio/gateway/destination-rules.yaml"


def find(environ: Mapping[str, str]) -> Path:
    """The checkout: `BOOKINFO_HOME`, or the one from which this package is installed."""
    home = Path(environ["BOOKINFO_HOME"]) if environ.get("BOOKINFO_HOME") else Path(__file__).parents[3]
    for name in (IMAGES, WORKLOADS, GATEWAY, SUBSETS):
        if not (home / name).is_file():
            raise LabError(f"{home} has no {name}: set BOOKINFO_HOME to a checkout of Bookinfo")
    return home

"""Where an Envoy reads its configuration: xDS files, relative to the proxy's directory.

A file subscription of RDS or ECDS contains exactly one resource, so each has a file of its own. LDS and CDS are one
file each. Each subscription uses one of the user's inotify instances, so there are few.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path("xds")
LISTENERS = FOLDER / "lds.json"
CLUSTERS = FOLDER / "cds.json"
ROUTES = FOLDER / "rds"
EXTENSIONS = FOLDER / "ecds"

Json = dict[str, Any]


@dataclass(frozen=True)
class ProxyConfig:
    """All that one Envoy runs, in the JSON form of Envoy's API."""

    listeners: tuple[Json, ...]
    clusters: tuple[Json, ...]
    routes: Mapping[str, Json] = field(default_factory=dict)  # RouteConfiguration by name
    extensions: Mapping[str, Json] = field(default_factory=dict)  # a filter's typed configuration by name


def source(path: Path) -> Json:
    """An Envoy ConfigSource that reads `path` (relative to the proxy's folder) and follows its replacement."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def route_file(name: str) -> Path:
    """Where the RouteConfiguration `name` stands."""
    return ROUTES / f"{name}.json"


def extension_file(name: str) -> Path:
    """Where the configuration of the HTTP filter `name` stands."""
    return EXTENSIONS / f"{name}.json"

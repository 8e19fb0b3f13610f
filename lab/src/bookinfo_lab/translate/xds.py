"""The xDS files from which an Envoy reads its configuration, relative to the proxy's directory.

A file subscription of RDS or ECDS contains exactly one resource, so each of these resources has its own file. LDS and
CDS are one file each. Each subscription uses one of the user's inotify instances, which are limited.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIRECTORY = Path("xds")
LISTENERS = DIRECTORY / "lds.json"
CLUSTERS = DIRECTORY / "cds.json"
ROUTES = DIRECTORY / "rds"
EXTENSIONS = DIRECTORY / "ecds"

Json = dict[str, Any]


@dataclass(frozen=True)
class ProxyConfig:
    """The complete dynamic configuration of one Envoy, in the JSON form of Envoy's API."""

    listeners: tuple[Json, ...]
    clusters: tuple[Json, ...]
    routes: Mapping[str, Json] = field(default_factory=dict)  # RouteConfiguration by name
    extensions: Mapping[str, Json] = field(default_factory=dict)  # typed configuration of a filter, by filter name


def config_source(path: Path) -> Json:
    """Return an Envoy ConfigSource that reads `path` (relative to the proxy's directory) and watches it."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def route_file(name: str) -> Path:
    """Return the file of the RouteConfiguration `name`."""
    return ROUTES / f"{name}.json"


def extension_file(name: str) -> Path:
    """Return the file with the configuration of the HTTP filter `name`."""
    return EXTENSIONS / f"{name}.json"

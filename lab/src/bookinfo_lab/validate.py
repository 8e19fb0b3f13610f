"""Envoy as the judge of what was rendered, before any running proxy sees it.

`envoy --mode validate` does not read files that a dynamic source names, so the check runs on a static equivalent.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bookinfo_lab import bootstrap
from bookinfo_lab.topology import Gateway, Workload
from bookinfo_lab.xds import Json, ProxyConfig

_TIMEOUT_SECONDS = 30


def validate(
    envoy: Path, proxy: Workload | Gateway, config: ProxyConfig, folder: Path, static_clusters: Sequence[Json] = ()
) -> str | None:
    """Why Envoy refuses `config`, in one line, or None if it accepts it.

    `folder` is the proxy's own: certificates are read from there. Costs 50 to 200 ms.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix=".validate-", dir=folder) as file:
        json.dump(static(proxy, config, static_clusters), file)
        file.flush()
        result = subprocess.run(  # noqa: S603  # the lab's own Envoy
            [envoy, "--mode", "validate", "--log-level", "error", "--config-path", Path(file.name).name],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    return None if result.returncode == 0 else _reason(result.stderr, result.returncode)


def static(proxy: Workload | Gateway, config: ProxyConfig, static_clusters: Sequence[Json] = ()) -> Json:
    """A bootstrap that holds all of `config` itself."""
    return {
        "node": bootstrap.node(proxy),
        "static_resources": {
            "listeners": [_inline(listener, config) for listener in config.listeners],
            "clusters": [*static_clusters, *config.clusters],
        },
    }


def _inline(value: Any, config: ProxyConfig) -> Any:
    """`value` with each reference to a dynamic route or filter replaced by what it refers to."""
    if isinstance(value, Mapping):
        if "rds" in value:
            rest = {key: item for key, item in value.items() if key != "rds"}
            route = {**config.routes[value["rds"]["route_config_name"]], "validate_clusters": True}
            return {**_inline(rest, config), "route_config": route}
        if "config_discovery" in value:
            return {"name": value["name"], "typed_config": config.extensions[value["name"]]}
        return {key: _inline(item, config) for key, item in value.items()}
    if isinstance(value, list):
        return [_inline(item, config) for item in value]
    return value


def _reason(output: str, code: int) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    relevant = [line for line in lines if "error initializing configuration" in line or "Proto constraint" in line]
    return " ".join((relevant or lines or [f"envoy stopped with {code}"])[-1].split())

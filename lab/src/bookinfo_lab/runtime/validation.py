"""Envoy as the judge of what was rendered, before any running proxy sees it.

`envoy --mode validate` does not read files that a dynamic source names, so the check runs on a static equivalent.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate import bootstrap
from bookinfo_lab.translate.names import INVALID_BACKEND_CLUSTER
from bookinfo_lab.translate.xds import Json, ProxyConfig

_TIMEOUT_SECONDS = 30


def validate(
    envoy: Path, proxy: Proxy, config: ProxyConfig, folder: Path, collector: tuple[str, int] | None = None
) -> str | None:
    """Why Envoy refuses `config`, in one line, or None if it accepts it.

    `folder` is the proxy's own: certificates are read from there. `collector` is what its bootstrap has. Costs 50 to
    200 ms.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix=".validate-", dir=folder) as file:
        # What is not there on purpose must not be what the check stumbles over.
        absent = {"name": INVALID_BACKEND_CLUSTER, "type": "STATIC"}
        json.dump(static(proxy, replace(config, clusters=(*config.clusters, absent)), collector), file)
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


def static(proxy: Proxy, config: ProxyConfig, collector: tuple[str, int] | None = None) -> Json:
    """A bootstrap that holds all of `config` itself."""
    return {
        "node": bootstrap.node(proxy),
        "static_resources": {
            "listeners": [_inline(listener, config) for listener in config.listeners],
            "clusters": [*bootstrap.static_clusters(collector), *config.clusters],
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
    told = re.findall(r"error initializing configuration '[^']*': (.+)", output, re.DOTALL)
    return plain(told[-1] if told else output or f"envoy stopped with {code}")


def plain(complaint: str) -> str:
    """Envoy's own words in one line, without the configuration that it repeats before (as text) or after them (JSON).

    Of a chain of causes only the last says what is wrong.
    """
    text = " ".join(complaint.split())
    text = re.sub(r"^(?:.* : |: |goo\.gle/debug.*: )(?=Proto constraint validation failed)", "", text)
    if parsing := re.match(r"Unable to parse JSON as proto \((.+?)\): \{", text):
        text = parsing[1]
    if constraint := re.match(r"Proto constraint validation failed \((?:.* caused by )?(.+)\)", text):
        text = constraint[1].replace("ValidationError.", ".")
    return text

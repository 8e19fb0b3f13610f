"""Envoy's configuration as files (xDS over the file system), replaced atomically.

A change reaches a running Envoy in three steps, so that no request meets a cluster that does not exist:

1. `write` writes new clusters before the routes that name them, and keeps clusters that are no longer used;
2. the caller waits until `progress` reports that every proxy uses the change or rejects it;
3. `prune` removes what is no longer used.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bookinfo_lab.translate.xds import (
    CLUSTERS,
    EXTENSIONS,
    LISTENERS,
    ROUTES,
    Json,
    ProxyConfig,
    extension_file,
    route_file,
)

STATS_FILTER = r"(version_text|update_rejected|config_fail)$"
"""Which statistics `progress` and `rejections` need: admin path `/stats?filter=...`."""

_TYPE = "type.googleapis.com/"
_LISTENER = f"{_TYPE}envoy.config.listener.v3.Listener"
_CLUSTER = f"{_TYPE}envoy.config.cluster.v3.Cluster"
_ROUTE = f"{_TYPE}envoy.config.route.v3.RouteConfiguration"
_EXTENSION = f"{_TYPE}envoy.config.core.v3.TypedExtensionConfig"


@dataclass(frozen=True)
class Progress:
    """How far one Envoy is with what its files say."""

    pending: tuple[str, ...]  # subscriptions that do not run their file's version yet
    rejected: tuple[str, ...]  # subscriptions that refused an update

    @property
    def live(self) -> bool:
        """Whether the Envoy runs exactly what its files say."""
        return not self.pending and not self.rejected


def write(folder: Path, config: ProxyConfig, version: str) -> bool:
    """Write `config` below a proxy's `folder` as `version`; files whose content is unchanged are left alone.

    Returns whether anything changed. Clusters that went out of use stay until `prune`.
    """
    for subfolder in (ROUTES, EXTENSIONS):
        (folder / subfolder).mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {cluster["name"] for cluster in config.clusters}
    retired = [cluster for cluster in _resources(folder / CLUSTERS) if cluster["name"] not in names]
    # A listener is refused if its route's file is not there, so new routes come first; a changed route may name a
    # new cluster, so it comes last.
    new_routes = {name: route for name, route in config.routes.items() if not (folder / route_file(name)).exists()}
    changes = [
        _put(folder / CLUSTERS, [{"@type": _CLUSTER, **cluster} for cluster in [*config.clusters, *retired]], version),
        *(_put(folder / path, resources, version) for path, resources in _extensions(config)),
        *(_put(folder / path, resources, version) for path, resources in _routes(new_routes)),
        _put(folder / LISTENERS, [{"@type": _LISTENER, **listener} for listener in config.listeners], version),
        *(_put(folder / path, resources, version) for path, resources in _routes(config.routes)),
    ]
    return any(changes)


def prune(folder: Path, config: ProxyConfig, version: str) -> bool:
    """Drop what `config` no longer uses, once it is live. Returns whether anything was dropped."""
    changed = _put(folder / CLUSTERS, [{"@type": _CLUSTER, **cluster} for cluster in config.clusters], version)
    for subfolder, used in ((ROUTES, config.routes), (EXTENSIONS, config.extensions)):
        for file in (folder / subfolder).glob("*.json"):
            if file.stem not in used:
                file.unlink()
                changed = True
    return changed


def versions(folder: Path, config: ProxyConfig) -> dict[str, str]:
    """The version that each subscription of `config` should run, by a pattern of its `version_text` statistic."""
    return {pattern: _version(folder / file) for pattern, (file, _) in _subscriptions(config).items()}


def subscribed(config: ProxyConfig, subscription: str) -> object:
    """What of `config` the subscription of that name brings (see `Progress`)."""
    return next(
        (brought for pattern, (_, brought) in _subscriptions(config).items() if re.fullmatch(pattern, subscription)),
        None,
    )


def rejections(stats: str) -> dict[str, int]:
    """How many updates each subscription has refused since its Envoy started, from the text of the admin's `/stats`."""
    return {
        name.rpartition(".")[0]: int(value)
        for name, value in _lines(stats)
        if name.endswith((".update_rejected", ".config_fail"))
    }


def progress(stats: str, expected: Mapping[str, str], rejected_before: Mapping[str, int]) -> Progress:
    """Compare an Envoy's `stats` with the `expected` versions (see `versions`).

    `rejected_before` is what `rejections` said before the change: Envoy only counts them.
    """
    running = {name.removesuffix(".version_text"): value.strip('"') for name, value in _lines(stats)}
    pending = tuple(
        pattern
        for pattern, version in expected.items()
        if version not in {value for name, value in running.items() if re.fullmatch(pattern, name)}
    )
    rejected = tuple(name for name, count in rejections(stats).items() if count > rejected_before.get(name, 0))
    return Progress(pending, rejected)


def _subscriptions(config: ProxyConfig) -> dict[str, tuple[Path, object]]:
    """Each file that an Envoy follows, and what it brings, by a pattern of the names of its statistics."""
    return {
        r"listener_manager\.lds": (LISTENERS, config.listeners),
        r"cluster_manager\.cds": (CLUSTERS, config.clusters),
        **{rf".*\.{_stat(name)}": (extension_file(name), item) for name, item in config.extensions.items()},
        **{rf"http\..+\.rds\.{_stat(name)}": (route_file(name), item) for name, item in config.routes.items()},
    }


def _routes(routes: Mapping[str, Json]) -> Iterator[tuple[Path, list[Json]]]:
    for name, route in routes.items():
        yield route_file(name), [{"@type": _ROUTE, **route}]


def _extensions(config: ProxyConfig) -> Iterator[tuple[Path, list[Json]]]:
    for name, typed_config in config.extensions.items():
        yield extension_file(name), [{"@type": _EXTENSION, "name": name, "typed_config": typed_config}]


def _put(path: Path, resources: list[Json], version: str) -> bool:
    if path.exists() and _resources(path) == resources:
        return False
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        json.dump({"version_info": version, "resources": resources}, file)
    Path(temporary).replace(path)
    return True


def _resources(path: Path) -> list[Json]:
    return list(json.loads(path.read_text())["resources"]) if path.exists() else []


def _version(path: Path) -> str:
    return str(json.loads(path.read_text())["version_info"])


def _stat(name: str) -> str:
    """A resource's name as a pattern for its statistics, in which Envoy writes a colon as an underscore."""
    return re.escape(name.replace(":", "_"))


def _lines(stats: str) -> Iterator[tuple[str, str]]:
    for line in stats.splitlines():
        name, separator, value = line.partition(": ")
        if separator:
            yield name, value

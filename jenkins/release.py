"""Print the values that the pipeline owns: the registry, the digest of every image, and the entry of the canary.

All other values come from the chart and from the values files of the repository (`VALUES`). A change there is therefore
rolled out, and a rollout never depends on values that somebody set by hand.

    release.py ACTION --release FILE [--digests FILE] [--registry NAME] [--values FILE]... [--service S] [--commit ID]

The file of --release contains the output of `helm get values --output json`; it is empty if nothing is installed.

    install, canary, promote, without-canary  print values as JSON
    canaries                                  print service, stable version and name of each installed canary
    stable                                    print the stable version of --service

The exit code is 2 after an error, which is one line.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART_VALUES = ROOT / "charts/bookinfo/values.yaml"
CANARY_NAME_SUFFIX = re.compile(r"-[0-9a-f]{12}$")
"""The commit at the end of a canary's name."""

Values = dict[str, Any]


class ReleaseError(Exception):
    """The values cannot be determined. The message is one line."""


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> Values:
    """Merge values as Helm does: mappings are merged, null removes a key, and anything else is replaced."""
    result = dict(base)
    for key, value in override.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            current = result.get(key)
            result[key] = merge(current if isinstance(current, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def versions_by_service(values: Mapping[str, Any]) -> dict[str, dict[str, Values]]:
    """Return the settings of each version of each service."""
    return {
        service: {version: entry or {} for version, entry in (settings.get("versions") or {}).items()}
        for service, settings in (values.get("services") or {}).items()
        if settings
    }


def find_canaries(desired: Mapping[str, Any], release: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return service and name of each canary: a version named after a build that is not in the repository."""
    known = versions_by_service(desired)
    return [
        (service, version)
        for service, entries in versions_by_service(release).items()
        for version in entries
        if version not in known.get(service, {}) and CANARY_NAME_SUFFIX.search(version)
    ]


def stable_version(desired: Mapping[str, Any], service: str) -> str:
    """Return the only version of a service, with which its canary is compared.

    Raises:
        ReleaseError: the service is unknown or has several versions.
    """
    found = versions_by_service(desired).get(service)
    if found is None:
        raise ReleaseError(f"unknown service {service!r}; use {', '.join(versions_by_service(desired))}")
    if len(found) != 1:
        raise ReleaseError(
            f"{service} has the versions {', '.join(found)}, but a canary needs a single stable version; "
            "keep one in the values files (jenkins/release.yaml), or use another service"
        )
    return next(iter(found))


def canary_name(stable: str, commit: str) -> str:
    """Return the name and version label of a canary, such as v3-1a2b3c4d5e6f."""
    return f"{stable}-{commit[:12]}"


def current_digests(release: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return the digests of a release by service and version."""
    return {
        (service, version): entry["image"]["digest"]
        for service, entries in versions_by_service(release).items()
        for version, entry in entries.items()
        if entry.get("image", {}).get("digest")
    }


def new_digests(desired: Mapping[str, Any], digests: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the digests of the build by service and version.

    Raises:
        ReleaseError: an image was not pushed.
    """
    found = {}
    for service, entries in versions_by_service(desired).items():
        for version, entry in entries.items():
            image = entry.get("image", {}).get("repository") or desired["services"][service]["image"]
            if image not in digests:
                raise ReleaseError(f"{image} of {service}-{version} has no digest, because it was not pushed")
            found[service, version] = digests[image]
    return found


def pipeline_values(registry: str, digests: Mapping[tuple[str, str], str], *, tag: str = "") -> Values:
    """Return the values that the pipeline owns, without a canary.

    Args:
        registry: registry and path, with or without a final slash.
        digests: the digest of each service and version.
        tag: the tag of versions without a digest, which somebody installed by hand.
    """
    services: Values = {}
    for (service, version), digest in digests.items():
        entries = services.setdefault(service, {"versions": {}})["versions"]
        entries[version] = {"image": {"digest": digest}}
    image = {"registry": registry.rstrip("/")} | ({"tag": tag} if tag else {})
    return {"image": image, "canary": {"managed": True}, "services": services}


def values_without_canary(desired: Mapping[str, Any], release: Mapping[str, Any]) -> Values:
    """Return the current values without a canary."""
    known = {(service, version) for service, entries in versions_by_service(desired).items() for version in entries}
    digests = {version: digest for version, digest in current_digests(release).items() if version in known}
    image = release.get("image", {})
    return pipeline_values(image.get("registry", ""), digests, tag=image.get("tag", ""))


def values_with_canary(
    desired: Mapping[str, Any], release: Mapping[str, Any], service: str, name: str, digest: str
) -> Values:
    """Return the current values with a canary: the stable version of `service` with another digest, at weight 0."""
    stable = stable_version(desired, service)
    settings = versions_by_service(desired)[service][stable]
    entry = merge(
        settings,
        # The service derives its behavior from VERSION, which must not become the name of the canary.
        {"image": {"digest": digest}, "env": {"VERSION": settings.get("env", {}).get("VERSION", stable)}, "weight": 0},
    )
    return merge(values_without_canary(desired, release), {"services": {service: {"versions": {name: entry}}}})


def values_after_promotion(
    desired: Mapping[str, Any], release: Mapping[str, Any], digests: Mapping[str, str]
) -> Values:
    """Return every version with the build's digest, and unchanged canaries, because one receives all traffic now."""
    values = pipeline_values(release.get("image", {}).get("registry", ""), new_digests(desired, digests))
    for service, name in find_canaries(desired, release):
        values = merge(
            values, {"services": {service: {"versions": {name: versions_by_service(release)[service][name]}}}}
        )
    return values


def output_of(arguments: argparse.Namespace) -> str:
    """Return the output of the action."""
    desired: Values = {}
    for file in (CHART_VALUES, *arguments.values):
        desired = merge(desired, yaml.safe_load(Path(file).read_text()) or {})
    text = arguments.release.read_text().strip() if arguments.release else ""
    release: Values = (json.loads(text) if text else None) or {}
    digests: dict[str, str] = json.loads(arguments.digests.read_text()) if arguments.digests else {}
    if arguments.action == "canaries":
        return "".join(
            f"{service} {stable_version(desired, service)} {name}\n"
            for service, name in find_canaries(desired, release)
        )
    if arguments.action == "stable":
        return stable_version(desired, arguments.service) + "\n"
    if arguments.action == "install":
        values = pipeline_values(arguments.registry, new_digests(desired, digests))
    elif arguments.action == "canary":
        values = _canary_values(arguments, desired, release, digests)
    elif arguments.action == "promote":
        values = values_after_promotion(desired, release, digests)
    else:
        values = values_without_canary(desired, release)
    return json.dumps(values, indent=2) + "\n"


def _canary_values(
    arguments: argparse.Namespace, desired: Values, release: Values, digests: Mapping[str, str]
) -> Values:
    current = release.get("image", {}).get("registry", "")
    if current.rstrip("/") != arguments.registry.rstrip("/"):
        raise ReleaseError(
            f"the release uses the registry {current or '(none)'}, but this build was pushed to {arguments.registry}; "
            "push to the release's registry, or install the release again"
        )
    stable = stable_version(desired, arguments.service)
    digest = new_digests(desired, digests)[arguments.service, stable]
    return values_with_canary(desired, release, arguments.service, canary_name(stable, arguments.commit), digest)


def main(argv: list[str]) -> int:
    """Print the output of the action, and return the exit code."""
    parser = argparse.ArgumentParser(prog="release.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=["install", "canary", "promote", "without-canary", "canaries", "stable"])
    parser.add_argument(
        "--release", type=Path, help="current values, as helm prints them; default: nothing is installed"
    )
    parser.add_argument("--digests", type=Path, help="digests that push.sh recorded")
    parser.add_argument("--registry", default="", help="registry and path to which push.sh pushed")
    parser.add_argument("--values", type=Path, action="append", default=[], help="values file of the repository")
    parser.add_argument("--service", default="", help="service of the canary")
    parser.add_argument("--commit", default="", help="commit of the build")
    arguments = parser.parse_args(argv)
    if arguments.action == "canary" and not re.fullmatch(r"[0-9a-f]{12,}", arguments.commit):
        parser.error(f"--commit: invalid commit {arguments.commit!r}; use at least 12 hexadecimal digits")
    try:
        sys.stdout.write(output_of(arguments))
    except (ReleaseError, OSError, json.JSONDecodeError, yaml.YAMLError) as error:
        sys.stderr.write(f"release: {' '.join(str(error).split())}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the pipeline owns of the release's values: the registry, every image's digest, and the canary's entry.

Everything else comes from the chart and from the values files in the repository (`VALUES`), so that what a person
changes there arrives, and what the pipeline rolls out never depends on what somebody set by hand.

    release.py ACTION --release FILE [--digests FILE] [--registry NAME] [--values FILE]... [--service S] [--commit ID]

FILE of --release is what `helm get values --output json` prints, empty where nothing is installed. It prints values as
JSON; for `leftover` service, stable version and name of each canary that is there; for `stable` the version that a
canary of the service stands beside. 2: it cannot be done, in one line.
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
BUILD = re.compile(r"-[0-9a-f]{12}$")
"""The end of a canary's name."""

Values = dict[str, Any]


class ReleaseError(Exception):
    """It cannot be done. The message is one line."""


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """Values over values as Helm lays them: mappings are merged, null takes a key away, the rest is replaced."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def versions(values: Mapping[str, Any]) -> dict[str, dict[str, Values]]:
    """Of each service its versions, with their settings."""
    return {
        service: {version: entry or {} for version, entry in (settings.get("versions") or {}).items()}
        for service, settings in (values.get("services") or {}).items()
        if settings
    }


def leftovers(wanted: Mapping[str, Any], release: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The canaries in a release, as service and name: entries named after a build that the repository does not have."""
    known = versions(wanted)
    return [
        (service, version)
        for service, entries in versions(release).items()
        for version in entries
        if version not in known.get(service, {}) and BUILD.search(version)
    ]


def stable_version(wanted: Mapping[str, Any], service: str) -> str:
    """The one version of a service, which its canary stands beside.

    Raises:
        ReleaseError: there is no such service, or it has several versions.
    """
    found = versions(wanted).get(service)
    if found is None:
        raise ReleaseError(f"there is no service {service!r}; there are {', '.join(versions(wanted))}")
    if len(found) != 1:
        raise ReleaseError(
            f"{service} has the versions {', '.join(found)}, and a canary stands beside one: "
            "leave one in the values files (jenkins/release.yaml), or choose another service"
        )
    return next(iter(found))


def canary_name(stable: str, commit: str) -> str:
    """The name, and so the version label, of a build beside a stable version, such as v3-1a2b3c4d5e6f."""
    return f"{stable}-{commit[:12]}"


def current_digests(release: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The digests that a release has, by service and version."""
    return {
        (service, version): entry["image"]["digest"]
        for service, entries in versions(release).items()
        for version, entry in entries.items()
        if entry.get("image", {}).get("digest")
    }


def new_digests(wanted: Mapping[str, Any], digests: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The digests of the build's images, by service and version.

    Raises:
        ReleaseError: an image was not pushed.
    """
    found = {}
    for service, entries in versions(wanted).items():
        for version, entry in entries.items():
            image = entry.get("image", {}).get("repository") or wanted["services"][service]["image"]
            if image not in digests:
                raise ReleaseError(f"{image} of {service}-{version} has no digest: it was not pushed")
            found[service, version] = digests[image]
    return found


def state(registry: str, digests: Mapping[tuple[str, str], str], *, tag: str = "") -> Values:
    """Values that hold what the pipeline owns, without a canary.

    Args:
        registry: registry and path, with or without a final slash.
        digests: of each service and version.
        tag: of the versions without a digest, as somebody installed them by hand.
    """
    services: Values = {}
    for (service, version), digest in digests.items():
        entries = services.setdefault(service, {"versions": {}})["versions"]
        entries[version] = {"image": {"digest": digest}}
    image = {"registry": registry.rstrip("/")} | ({"tag": tag} if tag else {})
    return {"image": image, "canary": {"managed": True}, "services": services}


def kept(wanted: Mapping[str, Any], release: Mapping[str, Any]) -> Values:
    """A release as it is, without a canary."""
    known = {(service, version) for service, entries in versions(wanted).items() for version in entries}
    digests = {which: digest for which, digest in current_digests(release).items() if which in known}
    image = release.get("image", {})
    return state(image.get("registry", ""), digests, tag=image.get("tag", ""))


def with_canary(wanted: Mapping[str, Any], release: Mapping[str, Any], service: str, name: str, digest: str) -> Values:
    """A release as it is, and beside the one version of `service` the same with another digest, at weight 0."""
    stable = stable_version(wanted, service)
    same = versions(wanted)[service][stable]
    entry = merged(
        same,
        # The service takes what it is from its version's name, so the name of the build must not get there.
        {"image": {"digest": digest}, "env": {"VERSION": same.get("env", {}).get("VERSION", stable)}, "weight": 0},
    )
    return merged(kept(wanted, release), {"services": {service: {"versions": {name: entry}}}})


def promoted(wanted: Mapping[str, Any], release: Mapping[str, Any], digests: Mapping[str, str]) -> Values:
    """Every version with the build's digest, and the canaries as they are: one may have all the traffic now."""
    values = state(release.get("image", {}).get("registry", ""), new_digests(wanted, digests))
    for service, name in leftovers(wanted, release):
        values = merged(values, {"services": {service: {"versions": {name: versions(release)[service][name]}}}})
    return values


def act(arguments: argparse.Namespace) -> str:
    """What to print for the command line's action."""
    wanted: Values = {}
    for file in (CHART_VALUES, *arguments.values):
        wanted = merged(wanted, yaml.safe_load(Path(file).read_text()) or {})
    text = arguments.release.read_text().strip() if arguments.release else ""
    release: Values = (json.loads(text) if text else None) or {}
    digests: dict[str, str] = json.loads(arguments.digests.read_text()) if arguments.digests else {}
    if arguments.action == "leftover":
        return "".join(
            f"{service} {stable_version(wanted, service)} {name}\n" for service, name in leftovers(wanted, release)
        )
    if arguments.action == "stable":
        return stable_version(wanted, arguments.service) + "\n"
    if arguments.action == "install":
        values = state(arguments.registry, new_digests(wanted, digests))
    elif arguments.action == "canary":
        values = _canary(arguments, wanted, release, digests)
    elif arguments.action == "promote":
        values = promoted(wanted, release, digests)
    else:
        values = kept(wanted, release)
    return json.dumps(values, indent=2) + "\n"


def _canary(arguments: argparse.Namespace, wanted: Values, release: Values, digests: Mapping[str, str]) -> Values:
    there = release.get("image", {}).get("registry", "")
    if there.rstrip("/") != arguments.registry.rstrip("/"):
        raise ReleaseError(
            f"the release takes its images from {there or 'no registry'}, this build is in {arguments.registry}: "
            "a digest is good in its own registry only; push there, or install the release anew"
        )
    stable = stable_version(wanted, arguments.service)
    digest = new_digests(wanted, digests)[arguments.service, stable]
    return with_canary(wanted, release, arguments.service, canary_name(stable, arguments.commit), digest)


def main(argv: list[str]) -> int:
    """Act; the exit code."""
    parser = argparse.ArgumentParser(prog="release.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=["install", "canary", "promote", "settle", "leftover", "stable"])
    parser.add_argument("--release", type=Path, help="what helm prints of the release; left out: nothing is installed")
    parser.add_argument("--digests", type=Path, help="what push.sh recorded")
    parser.add_argument("--registry", default="", help="where push.sh pushed to")
    parser.add_argument("--values", type=Path, action="append", default=[], help="a values file of the repository")
    parser.add_argument("--service", default="", help="whose canary")
    parser.add_argument("--commit", default="", help="of the build")
    arguments = parser.parse_args(argv)
    if arguments.action == "canary" and not re.fullmatch(r"[0-9a-f]{12,}", arguments.commit):
        parser.error(f"--commit {arguments.commit!r}: at least 12 hexadecimal digits")
    try:
        sys.stdout.write(act(arguments))
    except (ReleaseError, OSError, json.JSONDecodeError, yaml.YAMLError) as error:
        sys.stderr.write(f"release: {' '.join(str(error).split())}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

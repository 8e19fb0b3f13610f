"""Records the versions of Jenkins' plugins, and of all that they need, in jenkins/controller/plugins.lock.txt.

`make jenkins-lock` runs it. Jenkins' update centre says what the newest versions are that fit the LTS of the
Dockerfile; where it cannot be reached, or lacks a plugin, nothing is written. Needs only Python. JENKINS_UC, as for
Jenkins' own tools, is the address of another update centre.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CONTROLLER = Path(__file__).resolve().parent / "controller"
UPDATE_CENTER = "https://updates.jenkins.io"
WITHIN = 60.0

Catalogue = Mapping[str, Mapping[str, Any]]
"""The update centre's plugins by id."""


class LockError(Exception):
    """There is nothing to record. The message is one line."""


def lts(dockerfile: str) -> str:
    """The version of Jenkins in the Dockerfile's exact tag, such as 2.555.3."""
    found = re.search(r"^ARG JENKINS_IMAGE=\S+:(\d+\.\d+\.\d+)-lts\S*$", dockerfile, re.MULTILINE)
    if found is None:
        raise LockError("the Dockerfile names no exact LTS, such as jenkins/jenkins:2.555.3-lts-jdk21")
    return found[1]


def wanted(text: str) -> list[str]:
    """The ids in plugins.txt."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def resolved(ids: Iterable[str], catalogue: Catalogue) -> dict[str, str]:
    """The versions of these plugins and of all that they cannot do without, sorted by id.

    Raises:
        LockError: the update centre does not have one of them.
    """
    versions: dict[str, str] = {}
    waiting = list(ids)
    while waiting:
        plugin = waiting.pop()
        if plugin in versions:
            continue
        if plugin not in catalogue:
            raise LockError(f"the update centre has no plugin {plugin} for this LTS")
        versions[plugin] = str(catalogue[plugin]["version"])
        waiting += [needed["name"] for needed in catalogue[plugin]["dependencies"] if not needed.get("optional")]
    return dict(sorted(versions.items()))


def catalogue(address: str, version: str) -> Catalogue:
    """What the update centre has for a version of Jenkins.

    Raises:
        LockError: it cannot be reached, or says something else.
    """
    url = f"{address.rstrip('/')}/dynamic-stable-{version}/update-center.actual.json"
    try:
        with urllib.request.urlopen(url, timeout=WITHIN) as answer:  # noqa: S310 - the user's own address
            plugins: Catalogue = json.load(answer)["plugins"]
    except (OSError, ValueError, KeyError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise LockError(f"Jenkins' update centre cannot be asked: {url}: {reason}") from None
    return plugins


def main() -> int:
    """Write the lock; 1 and one line if there is nothing to write."""
    try:
        version = lts((CONTROLLER / "Dockerfile").read_text())
        found = resolved(
            wanted((CONTROLLER / "plugins.txt").read_text()),
            catalogue(os.environ.get("JENKINS_UC") or UPDATE_CENTER, version),
        )
    except LockError as error:
        sys.stderr.write(f"jenkins-lock: {error}; nothing was changed\n")
        return 1
    lines = [f"{plugin}:{found[plugin]}\n" for plugin in found]
    header = f"# For Jenkins {version}, by `make jenkins-lock`: change plugins.txt, not this.\n"
    (CONTROLLER / "plugins.lock.txt").write_text(header + "".join(lines))
    sys.stdout.write(f"jenkins-lock: {len(found)} plugins for Jenkins {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

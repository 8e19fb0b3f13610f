"""Prints the images of docker-bake.json that belong to the named groups, or all: a service's variants are in its group.

    python3 jenkins/bake_groups.py [--first] reviews envoy

--first: of each group the first alone, without variants.

The Jenkinsfile's matrix has a cell for each group, because a service and its variants share nearly all layers. Needs
only Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "docker-bake.json"


def groups(bake: dict[str, Any]) -> dict[str, list[str]]:
    """The images of each group, as they stand in the bake file."""
    found: dict[str, list[str]] = {}
    for name, target in bake["target"].items():
        if not name.startswith("_"):
            found.setdefault(target["args"].get("SERVICE") or target["target"], []).append(name)
    return found


def main(wanted: list[str]) -> int:
    """Print the images; 2 for a group that there is not."""
    found = groups(json.loads(FILE.read_text()))
    if "--first" in wanted:
        wanted = [group for group in wanted if group != "--first"]
        found = {group: names[:1] for group, names in found.items()}
    for group in wanted:
        if group not in found:
            sys.stderr.write(f"images: there is no group {group!r}; there are {', '.join(found)}\n")
            return 2
    sys.stdout.write("".join(f"{name}\n" for group in wanted or found for name in found[group]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Print the images of some or all groups in docker-bake.json. A group is a service and its variants.

    python3 jenkins/bake_groups.py [--first] reviews envoy

--first: print only the first image of each group, without its variants.

The Jenkinsfile's matrix has a cell for each group, because a service and its variants share nearly all layers. The
script requires only Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "docker-bake.json"


def groups(bake: dict[str, Any]) -> dict[str, list[str]]:
    """Return the images of each group, in the order of the bake file."""
    found: dict[str, list[str]] = {}
    for name, target in bake["target"].items():
        if not name.startswith("_"):
            found.setdefault(target["args"].get("SERVICE") or target["target"], []).append(name)
    return found


def main(arguments: list[str]) -> int:
    """Print the images and return 0, or 2 for an unknown group."""
    found = groups(json.loads(FILE.read_text()))
    selected = [argument for argument in arguments if argument != "--first"]
    if "--first" in arguments:
        found = {group: names[:1] for group, names in found.items()}
    for group in selected:
        if group not in found:
            sys.stderr.write(f"images: unknown group {group!r}; use {', '.join(found)}\n")
            return 2
    sys.stdout.write("".join(f"{name}\n" for group in selected or found for name in found[group]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

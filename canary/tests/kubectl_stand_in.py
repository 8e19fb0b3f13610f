"""A kubectl that keeps its cluster in a file: `python kubectl_stand_in.py STORE get virtualservice reviews ...`.

It knows `get` and server-side `apply`, and behaves as the API server does in what matters here: a field that another
manager has is not changed without force, and who has which field is told in managedFields.
"""

# ruff: noqa: T201 - a program prints

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def main(path: Path, arguments: list[str]) -> int:
    cluster: Json = json.loads(path.read_text())
    cluster["calls"].append(arguments)
    try:
        return answer(cluster, [word for word in arguments if not word.startswith("-")], set(arguments))
    finally:
        path.write_text(json.dumps(cluster))


def answer(cluster: Json, words: list[str], options: set[str]) -> int:
    if cluster.get("down"):
        print("The connection to the server was refused - did you specify the right host or port?", file=sys.stderr)
        return 1
    match words:
        case ["get", resource, name]:
            if found := cluster["objects"].get(f"{resource}/{name}"):
                print(json.dumps(found))
        case ["get", resource]:
            found = [item for key, item in cluster["objects"].items() if key.startswith(f"{resource}/")]
            print(json.dumps({"items": found}))
        case ["apply"] if cluster.get("refuses"):
            print("Error from server (Forbidden): you may not patch resource", file=sys.stderr)
            return 1
        case ["apply"]:
            return apply(cluster, json.load(sys.stdin), options)
        case _:
            print(f"error: what is {words}?", file=sys.stderr)
            return 1
    return 0


def apply(cluster: Json, body: Json, options: set[str]) -> int:
    assert "--server-side" in options
    (manager,) = [option.partition("=")[2] for option in options if option.startswith("--field-manager=")]
    key = f"{body['kind'].lower()}.{body['apiVersion'].partition('/')[0]}/{body['metadata']['name']}"
    older = cluster["objects"].get(key, {"metadata": {"managedFields": []}, "spec": {}})
    entries = [entry for entry in older["metadata"]["managedFields"] if entry["manager"] != manager]
    changed = {f"f:{name}" for name, value in body["spec"].items() if older["spec"].get(name) != value}
    for entry in entries:
        if conflicts := changed & set(entry["fieldsV1"]["f:spec"]):
            if "--force-conflicts" not in options:
                field = conflicts.pop().removeprefix("f:")
                print(
                    f'error: Apply failed with 1 conflict: conflict with "{entry["manager"]}": .spec.{field}\n'
                    "Please review the fields above--they currently have other managers. Here\n"
                    "are the ways you can resolve this warning: ...",
                    file=sys.stderr,
                )
                return 1
            entry["fieldsV1"]["f:spec"] = {name: {} for name in entry["fieldsV1"]["f:spec"] if name not in changed}
    entries.append({"manager": manager, "fieldsV1": {"f:spec": {f"f:{name}": {} for name in body["spec"]}}})
    metadata = {**body["metadata"], "managedFields": entries}
    cluster["objects"][key] = {**body, "metadata": metadata}
    cluster["history"].append(body["spec"])
    print(f"{key} serverside-applied")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

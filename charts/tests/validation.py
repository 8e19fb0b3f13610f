"""Judges objects strictly against the schemas of Kubernetes, Istio, the Gateway API and the Prometheus operator."""

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

from bookinfo_lab.resources.schema import istio_schema

KUBERNETES = ("1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
SCHEMAS = Path(__file__).parent / "schemas"
TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": TEXT, "namespace": TEXT, "labels": TEXTS, "annotations": TEXTS},
}

Schema = dict[str, Any]


class UnknownKindError(Exception):
    """No schema knows the kind."""


def mistakes(item: dict[str, Any], kubernetes: str) -> list[str]:
    """What is wrong with an object on a version of Kubernetes. Raises `UnknownKindError`."""
    validator = _validator(item["apiVersion"], item["kind"], kubernetes)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(item)]


@functools.cache
def _validator(api_version: str, kind: str, kubernetes: str) -> jsonschema.Draft202012Validator:
    group = api_version.partition("/")[0]
    if group.endswith(".istio.io"):
        return jsonschema.Draft202012Validator(_istio(api_version, kind))
    for file in ("gateway-api", "monitoring"):
        data = json.loads((SCHEMAS / f"{file}.json").read_text())
        spec = data["kinds"].get(f"{api_version}/{kind}")
        if spec:
            return jsonschema.Draft202012Validator(_custom(spec, api_version, kind) | {"$defs": data["$defs"]})
    return _kubernetes(api_version, kind, kubernetes)


def _custom(spec: Schema, api_version: str, kind: str) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": api_version},
            "kind": {"const": kind},
            "metadata": METADATA,
            "spec": spec,
        },
    }


def _istio(api_version: str, kind: str) -> Schema:
    group, _, version = api_version.partition("/")
    entry = istio_schema()["kinds"].get(f"{group}/{kind}")
    if not entry or version not in entry["versions"]:
        raise UnknownKindError(f"{api_version} {kind}")
    return _custom(_closed(entry["spec"]), api_version, kind)


def _closed(form: Any) -> Schema:
    """JSON Schema of the lab's form of Istio's types (lab/tools/generate_schema.py says what it can hold)."""
    if isinstance(form, str):
        return {} if form == "any" else {"type": form}
    if "either" in form:
        return {} if "any" in form["either"] else {"type": form["either"]}
    if "enum" in form:
        return {"enum": form["enum"]}
    if "array" in form:
        return {"type": "array", "items": _closed(form["array"])}
    if "map" in form:
        return {"type": "object", "additionalProperties": _closed(form["map"])}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _closed(value) for name, value in form["fields"].items()},
        "required": form["required"],
    }


def _kubernetes(api_version: str, kind: str, version: str) -> jsonschema.Draft202012Validator:
    """The strict schema that kubernetes-validate ships; read directly, because its own function reads it every time."""
    folder = resources.files("kubernetes_validate").joinpath(f"kubernetes-json-schema/v{version}.0-local-strict")
    group, _, number = api_version.rpartition("/")
    file = folder.joinpath("-".join(filter(None, [kind.lower(), group.partition(".")[0], number])) + ".json")
    if not file.is_file():
        raise UnknownKindError(f"{api_version} {kind} on Kubernetes {version}")
    schema = json.loads(file.read_text())
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    folder = resources.files("kubernetes_validate").joinpath(f"kubernetes-json-schema/v{version}.0-local-strict")
    contents = json.loads(folder.joinpath("_definitions.json").read_text())
    registry: Registry[Any] = Registry().with_resource(contents["$id"], Resource.from_contents(contents))
    return registry

"""Validate objects against the strict schemas of Kubernetes, Istio, the Gateway API and the Prometheus operator."""

import functools
import json
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

from bookinfo_lab.resources.schema import istio_schema

KUBERNETES = ("1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
SCHEMAS = Path(__file__).parent / "schemas"
STRING = {"type": "string"}
STRING_MAP = {"type": "object", "additionalProperties": STRING}
METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": STRING, "namespace": STRING, "labels": STRING_MAP, "annotations": STRING_MAP},
}

Schema = dict[str, Any]


class UnknownKindError(Exception):
    """No schema defines the kind."""


def schema_errors(item: dict[str, Any], kubernetes: str) -> list[str]:
    """Return the schema errors of an object for a version of Kubernetes. Raise `UnknownKindError`."""
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
            return jsonschema.Draft202012Validator(_object_schema(spec, api_version, kind) | {"$defs": data["$defs"]})
    return _kubernetes(api_version, kind, kubernetes)


def _object_schema(spec: Schema, api_version: str, kind: str) -> Schema:
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
    return _object_schema(_json_schema(entry["spec"]), api_version, kind)


def _json_schema(field_type: Any) -> Schema:
    """Return the JSON Schema of a type in the lab's schema of Istio (format: lab/tools/generate_schema.py)."""
    if isinstance(field_type, str):
        return {} if field_type == "any" else {"type": field_type}
    if "either" in field_type:
        return {} if "any" in field_type["either"] else {"type": field_type["either"]}
    if "enum" in field_type:
        return {"enum": field_type["enum"]}
    if "array" in field_type:
        return {"type": "array", "items": _json_schema(field_type["array"])}
    if "map" in field_type:
        return {"type": "object", "additionalProperties": _json_schema(field_type["map"])}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _json_schema(value) for name, value in field_type["fields"].items()},
        "required": field_type["required"],
    }


def _kubernetes(api_version: str, kind: str, version: str) -> jsonschema.Draft202012Validator:
    """Return a validator for a strict schema of kubernetes-validate, whose own function does not cache schemas."""
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], number]))
    file = _kubernetes_schemas(version).joinpath(f"{name}.json")
    if not file.is_file():
        raise UnknownKindError(f"{api_version} {kind} on Kubernetes {version}")
    schema = json.loads(file.read_text())
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry[Any]:
    contents = json.loads(_kubernetes_schemas(version).joinpath("_definitions.json").read_text())
    registry: Registry[Any] = Registry().with_resource(contents["$id"], Resource.from_contents(contents))
    return registry


def _kubernetes_schemas(version: str) -> Traversable:
    return resources.files("kubernetes_validate").joinpath(f"kubernetes-json-schema/v{version}.0-local-strict")

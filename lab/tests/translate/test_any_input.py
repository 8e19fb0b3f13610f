"""Every object that a schema accepts is either translated or rejected with a ManifestError."""

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.base import Spec
from bookinfo_lab.resources.model.rules import KINDS
from bookinfo_lab.resources.schema import kinds
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate import describe, translate

_TEXTS = st.sampled_from(
    [
        *("reviews", "ratings.default.svc.cluster.local", "*", "*.example", "a.example", "mesh", "edge", "v1", ""),
        *("1s", "0.5s", "1s", "9080", "80", "127.0.0.1", "127.0.0.0/8", "/a", "/*", "(", "a|b", "é\n"),
        *("5xx,503", "HTTP", "https", "default", ".", "./*", '{"keys":[]}', "request.auth.claims[a][b]", "%"),
    ]
)
_NUMBERS = st.one_of(
    st.sampled_from([1, 80, 100, 301, 503, 9080]), st.integers(-1, 70_000), st.just(2**40), st.floats()
)


def _values(expected: Any) -> st.SearchStrategy[Any]:
    if isinstance(expected, str):
        anything = st.dictionaries(_TEXTS, _TEXTS, max_size=2)
        return {"string": _TEXTS, "number": _NUMBERS, "boolean": st.booleans(), "any": anything}[expected]
    if "enum" in expected:
        return st.sampled_from(expected["enum"])
    if "array" in expected:
        return st.lists(_values(expected["array"]), min_size=1, max_size=2)
    if "map" in expected:
        return st.dictionaries(_TEXTS, _values(expected["map"]), max_size=2)
    return _objects(expected)


@st.composite
def _objects(draw: st.DrawFn, expected: Any) -> dict[str, Any]:
    names = set(draw(st.sets(st.sampled_from(sorted(expected["fields"])), max_size=4))) if expected["fields"] else set()
    for group in expected.get("oneof", []):
        names -= set(group[1:])
    return {name: draw(_values(expected["fields"][name])) for name in sorted(names | set(expected["required"]))}


def _spec(kind: str) -> tuple[str, Any]:
    entry = kinds()[kind]
    return f"{kind.partition('/')[0]}/{entry['versions'][0]}", _implemented(entry["spec"], KINDS[kind])


def _implemented(schema: Any, model: Any) -> Any:
    """The schema without unsupported fields, and with the required ones, so that more objects are translated."""
    if "fields" not in schema:
        (wrapper,) = (key for key in schema if key in ("array", "map"))
        return {wrapper: _implemented(schema[wrapper], model)}
    fields = {}
    for name, field in model.model_fields.items():
        nested = [item for item in _parts(field.annotation) if isinstance(item, type) and issubclass(item, Spec)]
        content = schema["fields"][field.alias or name]
        fields[field.alias or name] = _implemented(content, nested[0]) if nested else content
    required = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
    return {**schema, "fields": fields, "required": required}


def _parts(annotation: Any) -> list[Any]:
    return [annotation, *(part for argument in get_args(annotation) for part in _parts(argument))]


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_input_is_translated_or_rejected_with_a_manifest_error(
    kind: str, topology: Topology, data: st.DataObject
) -> None:
    api_version, schema = _spec(kind)
    spec = data.draw(_values(schema))
    text = json.dumps(
        {"apiVersion": api_version, "kind": kind.partition("/")[2], "metadata": {"name": "any"}, "spec": spec}
    )

    rejection = ""
    try:
        rules = Rules.parse(read_documents(text.replace("NaN", ".nan").replace("Infinity", ".inf"), "any.yaml"))
        translate(topology, rules)
        for proxy in (*topology.workloads, *topology.gateways):
            describe(topology, rules, proxy)
    except ManifestError as error:
        rejection = str(error)

    assert "\n" not in rejection

"""The schemas of Istio and of the Gateway API, and the lab's model held against them."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest

from bookinfo_lab.resources.model.base import Spec
from bookinfo_lab.resources.model.rules import KINDS
from bookinfo_lab.resources.schema import istio_schema, kinds


def _names(model: type[Spec], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, bool]]:
    """Each field of the model with whether the schema has it, below those that both have."""
    for name, field in model.model_fields.items():
        alias = field.alias or name
        yield f"{path}.{alias}", alias in schema["fields"]
        for nested in _models(field.annotation):
            content = schema["fields"].get(alias)
            while isinstance(content, Mapping) and "fields" not in content:
                content = content.get("array", content.get("map"))
            if content is not None:
                yield from _names(nested, content, f"{path}.{alias}")


def _models(annotation: Any) -> list[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def test_the_schema_is_of_istio_1_29_or_newer() -> None:
    assert tuple(int(part) for part in istio_schema()["istio"].split(".")) >= (1, 29)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_of_the_model_is_one_of_the_api(kind: str) -> None:
    assert [name for name, known in _names(KINDS[kind], kinds()[kind]["spec"], "spec") if not known] == []

"""The values: every key is documented and in the schema, and overlays contain only differences."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import CHART, Helm, identities, load_tool, named, of_kind

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
OVERLAYS = sorted(CHART.glob("values-*.yaml"))
document_values = load_tool("document_values")


def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of every key whose value is not a mapping with keys."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, values


def default(path: tuple[str, ...]) -> Any:
    """Return the default at a path, or None if there is none."""
    value: Any = DEFAULTS
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def test_readme_table_is_current() -> None:
    readme = (CHART / "README.md").read_text()
    assert readme == document_values.with_table(readme, (CHART / "values.yaml").read_text())


@pytest.mark.smoke
def test_readme_example_renders_the_described_objects(helm: Helm) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
    rendered = helm.render(yaml.safe_load(example), CHART / "values-istio.yaml")
    names = {item["metadata"]["name"] for item in of_kind(rendered, "Deployment")}
    assert "ratings-v-faulty" in names
    assert "reviews-v3" not in names
    (rule,) = named(rendered, "VirtualService", "reviews")["spec"]["http"]
    assert [(each["destination"]["subset"], each["weight"]) for each in rule["route"]] == [("v1", 90), ("v2", 10)]


def test_every_readme_command_has_a_namespace() -> None:
    text = (CHART / "README.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^    ((?:helm|kubectl) .*)$", text, re.MULTILINE)
    assert len(commands) > 4
    assert [command for command in commands if "--namespace bookinfo" not in command] == []


def test_every_file_link_of_the_readme_exists() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", (CHART / "README.md").read_text()):
        assert (CHART / target).exists(), target


def test_every_key_is_in_the_table() -> None:
    documented = {row.path for row in document_values.rows((CHART / "values.yaml").read_text())}
    opaque = ("requests", "limits", "modes", "direction", "peers", "ports")
    for path, _ in leaves(DEFAULTS):
        end = next((index for index, key in enumerate(path) if key in opaque), len(path))
        expected = {".".join(path[:length]) for length in range(1, end + 1)}
        # A mapping that is written on one line has one row.
        assert expected - documented <= {".".join(path)}, path


def test_key_without_a_comment_is_rejected() -> None:
    with pytest.raises(document_values.UndocumentedKeyError, match=r"values\.yaml, line 3, image\.tag: missing desc"):
        list(document_values.rows("# Container images.\nimage:\n  tag: x\n"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_overlay_contains_only_differences_and_a_comment(overlay: Path) -> None:
    assert overlay.read_text().startswith("# ")
    redundant = [path for path, value in leaves(yaml.safe_load(overlay.read_text())) if default(path) == value]
    assert redundant == []


@pytest.mark.parametrize("overlay", ["values-istio.yaml", "values-gateway-api.yaml", "values-ambient.yaml"])
def test_overlays_can_be_combined(helm: Helm, overlay: str) -> None:
    both = identities(helm.render(None, CHART / "values-production.yaml", CHART / overlay))
    assert both >= identities(helm.render(None, CHART / overlay))
    assert both >= {("NetworkPolicy", "bookinfo-reviews"), ("HorizontalPodAutoscaler", "reviews-v1")}


def test_schema_has_exactly_the_keys_of_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(DEFAULTS)

    def assert_closed(node: Any, values: Any, path: str) -> None:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if isinstance(values, dict) and "properties" in node:
            assert node["additionalProperties"] is False, path
            assert set(values) <= set(node["properties"]), path
            for key, value in values.items():
                assert_closed(node["properties"][key], value, f"{path}.{key}")

    assert_closed(schema, DEFAULTS, "values")


def test_schema_of_a_version_has_exactly_the_keys_of_the_defaults() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["$defs"]["version"]["properties"]) == set(DEFAULTS["versionDefaults"])


def test_schema_requires_every_key_with_a_default() -> None:
    """Otherwise `mesh.trustDomain: null` would become a part of identities."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for block, values in DEFAULTS.items():
        required = {key for key, value in values.items() if value not in ("", None, [], {})}
        if block not in ("services", "versionDefaults"):
            assert set(schema["properties"][block].get("required", [])) == required, block
    assert schema["$defs"]["service"]["required"] == ["image", "serviceType", "versions"]


@pytest.mark.parametrize("file", ["ambient-routes", "gateway-routes", "ingress", "sidecar"])
def test_keys_with_empty_defaults_may_be_null(helm: Helm, file: str) -> None:
    values_file = CHART / f"ci/{file}-values.yaml"
    values = yaml.safe_load(values_file.read_text())
    nulls: dict[str, Any] = {}
    for path, value in leaves(DEFAULTS):
        if len(path) == 2 and value in ("", None, [], {}) and path[1] not in values.get(path[0], {}):
            nulls.setdefault(path[0], {})[path[1]] = None
    assert "<nil>" not in json.dumps(helm.render(nulls, values_file))

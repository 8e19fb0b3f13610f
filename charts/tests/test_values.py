"""The values: documented, covered by the schema, and overlays that hold differences only."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.conftest import load_tool
from charts.tests.rendering import CHART, Helm, identities, named, of_kind

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
OVERLAYS = sorted(CHART.glob("values-*.yaml"))
tool = load_tool("document_values")


def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is not a mapping, by its path."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, values


def default(path: tuple[str, ...]) -> Any:
    """The default at a path; None where there is none."""
    at: Any = DEFAULTS
    for key in path:
        at = at.get(key) if isinstance(at, dict) else None
    return at


def test_the_readme_s_table_is_made_from_the_values() -> None:
    readme = (CHART / "README.md").read_text()
    assert readme == tool.documented(readme, (CHART / "values.yaml").read_text())


@pytest.mark.smoke
def test_the_readme_s_example_does_what_it_says(helm: Helm) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
    rendered = helm.render(yaml.safe_load(example), CHART / "values-istio.yaml")
    names = {item["metadata"]["name"] for item in of_kind(rendered, "Deployment")}
    assert "ratings-v-faulty" in names
    assert "reviews-v3" not in names
    (rule,) = named(rendered, "VirtualService", "reviews")["spec"]["http"]
    assert [(each["destination"]["subset"], each["weight"]) for each in rule["route"]] == [("v1", 90), ("v2", 10)]


def test_every_command_of_the_readme_names_its_namespace() -> None:
    text = (CHART / "README.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^    ((?:helm|kubectl) .*)$", text, re.MULTILINE)
    assert len(commands) > 4
    assert [command for command in commands if "--namespace bookinfo" not in command] == []


def test_every_file_that_the_readme_names_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", (CHART / "README.md").read_text()):
        assert (CHART / target).exists(), target


def test_every_key_has_its_meaning_in_the_table() -> None:
    documented = {row.path for row in tool.rows((CHART / "values.yaml").read_text())}
    folded = ("requests", "limits", "modes", "direction", "peers", "ports")
    for path, _ in leaves(DEFAULTS):
        ends = next((index for index, key in enumerate(path) if key in folded), len(path))
        known = {".".join(path[:length]) for length in range(1, ends + 1)}
        # A mapping written on one line is explained as one.
        assert known - documented <= {".".join(path)}, path


def test_a_key_without_a_comment_is_an_error() -> None:
    with pytest.raises(tool.UndocumentedError, match=r"values\.yaml line 3: image\.tag has no comment above it"):
        list(tool.rows("# Where images come from.\nimage:\n  tag: x\n"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_holds_differences_only_and_says_what_it_is_for(overlay: Path) -> None:
    assert overlay.read_text().startswith("# ")
    same = [path for path, value in leaves(yaml.safe_load(overlay.read_text())) if default(path) == value]
    assert same == []


@pytest.mark.parametrize("overlay", ["values-istio.yaml", "values-gateway-api.yaml", "values-ambient.yaml"])
def test_overlays_add_up(helm: Helm, overlay: str) -> None:
    both = identities(helm.render(None, CHART / "values-production.yaml", CHART / overlay))
    assert both >= identities(helm.render(None, CHART / overlay))
    assert both >= {("NetworkPolicy", "bookinfo-reviews"), ("HorizontalPodAutoscaler", "reviews-v1")}


def test_the_schema_lists_exactly_the_keys_that_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(DEFAULTS)

    def closed(node: Any, values: Any, path: str) -> None:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if isinstance(values, dict) and "properties" in node:
            assert node["additionalProperties"] is False, path
            assert set(values) <= set(node["properties"]), path
            for key, value in values.items():
                closed(node["properties"][key], value, f"{path}.{key}")

    closed(schema, DEFAULTS, "values")


def test_a_version_has_the_keys_of_the_defaults_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["$defs"]["version"]["properties"]) == set(DEFAULTS["versionDefaults"])


def test_a_key_that_is_taken_away_is_missed_unless_it_was_empty() -> None:
    """`mesh.trustDomain: null` must not become a part of an identity."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for block, values in DEFAULTS.items():
        required = {key for key, value in values.items() if value not in ("", None, [], {})}
        if block not in ("services", "versionDefaults"):
            assert set(schema["properties"][block].get("required", [])) == required, block
    assert schema["$defs"]["service"]["required"] == ["image", "serviceType", "versions"]


@pytest.mark.parametrize("file", ["ambient-routes", "gateway-routes", "ingress", "sidecar"])
def test_what_is_empty_by_default_may_be_taken_away(helm: Helm, file: str) -> None:
    values_file = CHART / f"ci/{file}-values.yaml"
    given = yaml.safe_load(values_file.read_text())
    nothing: dict[str, Any] = {}
    for path, value in leaves(DEFAULTS):
        if len(path) == 2 and value in ("", None, [], {}) and path[1] not in given.get(path[0], {}):
            nothing.setdefault(path[0], {})[path[1]] = None
    assert "<nil>" not in json.dumps(helm.render(nothing, values_file))

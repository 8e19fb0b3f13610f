"""The dashboards as files: made from their sources, whole, and of use with any Prometheus."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from bookinfo_testing.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "observability/dashboards").glob("*.json"))

Json = dict[str, Any]


def tool() -> Any:
    return load_script(ROOT / "observability/tools/dashboards.py")


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Json:
    found: Json = json.loads(request.param.read_text())
    return found


def pictures(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_there_is_one_for_the_services_the_mesh_and_a_canary() -> None:
    assert [path.stem for path in FILES] == ["canary", "mesh", "services"]


def test_the_files_are_what_their_sources_say() -> None:
    assert {path: path.read_text() for path in FILES} == tool().files(), "out of date: run `make dashboards`"


def test_identifiers_and_titles_are_of_one_dashboard_each() -> None:
    dashboards = [json.loads(path.read_text()) for path in FILES]
    for key in ("uid", "title"):
        assert len({dashboard[key] for dashboard in dashboards}) == len(FILES)


def test_every_panel_has_an_identifier_of_its_own_a_unit_and_says_what_it_shows(dashboard: Json) -> None:
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in pictures(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"]) > 15, panel["title"]
    titles = [panel["title"] for panel in pictures(dashboard)]
    assert len(set(titles)) == len(titles)


def test_no_panel_lies_over_another_or_off_the_page(dashboard: Json) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart, (one, other)


def test_the_datasource_is_chosen_by_a_variable(dashboard: Json) -> None:
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables.pop("datasource")["type"] == "datasource"
    asking = [*pictures(dashboard), *variables.values()]
    asking += [target for panel in pictures(dashboard) for target in panel["targets"]]
    assert {item["datasource"]["uid"] for item in asking} == {"${datasource}"}


def test_every_variable_of_a_query_is_one_of_the_dashboard(dashboard: Json) -> None:
    names = {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
    queries = [target["expr"] for panel in pictures(dashboard) for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in dashboard["templating"]["list"][1:]]
    used = {name for query in queries for name in re.findall(r"\$\{?(\w+)", query)}
    assert used <= names
    assert names - used <= {"datasource"}


def test_a_choice_of_several_is_matched_as_a_regular_expression(dashboard: Json) -> None:
    several = {item["name"] for item in dashboard["templating"]["list"][1:] if item["multi"]}
    for panel in pictures(dashboard):
        for target in panel["targets"]:
            for operator, name in re.findall(r'(=~|=)"\$(\w+)"', target["expr"]):
                assert (operator == "=~") == (name in several), (panel["title"], name)


def test_durations_of_services_show_exemplars_that_lead_to_jaeger() -> None:
    services = json.loads((ROOT / "observability/dashboards/services.json").read_text())
    shown = {panel["title"] for panel in pictures(services) if panel["targets"][0].get("exemplar")}
    assert shown == {"Duration, p50", "Duration, p95", "Duration, p99"}
    sources = yaml.safe_load((ROOT / "observability/grafana/provisioning/datasources/bookinfo.yaml").read_text())
    by_type = {source["type"]: source for source in sources["datasources"]}
    (destination,) = by_type["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination == {"name": "trace_id", "datasourceUid": by_type["jaeger"]["uid"]}

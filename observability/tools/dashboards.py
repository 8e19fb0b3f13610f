"""Makes observability/dashboards/*.json for Grafana 12 from observability/sources/*.yaml: `make dashboards`.

A source holds what somebody decides: what is asked and why. Grafana wants ten times as much around it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).resolve().parent.parent
SOURCES = FOLDER / "sources"
DASHBOARDS = FOLDER / "dashboards"

SCHEMA_VERSION = 41
"""Of Grafana 12.0."""

COLUMNS = 24
HEIGHT = 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


class Source(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Panel(Source):
    """One picture. `unit` is one of Grafana's; `queries` are PromQL by legend."""

    title: str
    description: str
    unit: Literal["reqps", "percentunit", "s", "ms", "bytes", "short"]
    queries: dict[str, str] = Field(min_length=1)
    kind: Literal["timeseries", "table"] = "timeseries"
    exemplars: bool = False
    stacked: bool = False


class Row(Source):
    """Pictures beside each other, as many to a line as `columns` says."""

    title: str
    columns: Literal[1, 2, 3, 4] = 3
    panels: tuple[Panel, ...]


class Variable(Source):
    """A choice at the top, of what `query` finds. Without `default` several may be chosen, and all are at first."""

    label: str
    query: str
    default: str | None = None


class Dashboard(Source):
    """One file; `variables` by name."""

    title: str
    description: str
    variables: dict[str, Variable]
    rows: tuple[Row, ...]


def rendered(name: str, dashboard: Dashboard) -> Json:
    """What Grafana reads. The identifier comes from the file's name, so that links to it last."""
    return {
        "uid": f"bookinfo-{name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["bookinfo"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-15m", "to": "now"},
        "graphTooltip": 1,
        "links": [{"title": "Bookinfo", "type": "dashboards", "tags": ["bookinfo"], "keepTime": True}],
        "templating": {"list": [_datasource(), *(_variable(*item) for item in dashboard.variables.items())]},
        "panels": list(_panels(dashboard.rows)),
    }


def _datasource() -> Json:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}


def _variable(name: str, variable: Variable) -> Json:
    some = variable.default is None
    every = {"text": ["All"], "value": ["$__all"]}
    return {
        "name": name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": variable.query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": some,
        "includeAll": some,
        # Not the list of what was found: a label that nobody has is everybody's choice too.
        "allValue": ".*" if some else None,
        "current": every if some else {"text": variable.default, "value": variable.default},
    }


def _panels(rows: tuple[Row, ...]) -> Iterator[Json]:
    number, y = 0, 0
    for row in rows:
        number += 1
        yield _row(number, y, row.title)
        y += 1
        width = COLUMNS // row.columns
        for index, panel in enumerate(row.panels):
            number += 1
            line, column = divmod(index, row.columns)
            yield _panel(number, {"x": column * width, "y": y + line * HEIGHT, "w": width, "h": HEIGHT}, panel)
        y += HEIGHT * -(-len(row.panels) // row.columns)


def _row(number: int, y: int, title: str) -> Json:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "collapsed": False, "panels": []}


def _panel(number: int, place: Json, panel: Panel) -> Json:
    table = panel.kind == "table"
    custom: Json = {} if table else {"lineWidth": 2, "fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 40}
    share = {"min": 0, "max": 1} if panel.unit == "percentunit" else {"min": 0}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, **share, "custom": custom}, "overrides": []},
        "options": {} if table else {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": legend,
                **({"instant": True, "format": "table"} if table else {"exemplar": panel.exemplars}),
            }
            for index, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def read(path: Path) -> Dashboard:
    """A source. Raises pydantic's ValidationError."""
    return Dashboard.model_validate(yaml.safe_load(path.read_text()))


def files() -> dict[Path, str]:
    """What each file should hold now."""
    return {
        DASHBOARDS / f"{path.stem}.json": json.dumps(rendered(path.stem, read(path)), indent=2) + "\n"
        for path in sorted(SOURCES.glob("*.yaml"))
    }


if __name__ == "__main__":
    for written, text in files().items():
        written.write_text(text)
        sys.stdout.write(f"{written.relative_to(FOLDER.parent)} is written\n")

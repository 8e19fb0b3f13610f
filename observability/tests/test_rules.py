"""The rules of Prometheus: each alert fires and does not, and whoever is woken is told what to do."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "observability/rules").glob("*.yaml"))
UNIT_TESTS = Path(__file__).parent / "rules"


def rules(path: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: (path, rule) for path in FILES for rule in rules(path) if "alert" in rule}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool on PATH: install Prometheus (Debian: prometheus)")
    return found


def unit_tests(promtool: str, name: str, folder: Path = UNIT_TESTS) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, "test", "rules", folder / name], capture_output=True, text=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(promtool: str, path: Path) -> None:
    done = unit_tests(promtool, path.name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_alert_can_stay_away_unnoticed(promtool: str, path: Path, tmp_path: Path) -> None:
    whole = yaml.safe_load(path.read_text())
    for group in whole["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = "vector(0) > 1"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(whole))
    unit_test = yaml.safe_load((UNIT_TESTS / path.name).read_text())
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(unit_test | {"rule_files": ["rules.yaml"]}))
    done = unit_tests(promtool, "test.yaml", tmp_path)
    assert done.returncode == 1
    missed = set(re.findall(r'alertname=\\?"(\w+)', done.stdout + done.stderr))
    assert missed == {alert for alert, (home, _) in ALERTS.items() if home == path}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_happened_what_it_means_and_what_to_do(alert: str) -> None:
    _, rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    assert "{{ $labels." in rule["annotations"]["summary"]
    assert len(rule["annotations"]["action"]) > 80


def test_rules_are_of_the_services_that_there_are() -> None:
    documents = yaml.safe_load_all((ROOT / "kubernetes/bookinfo.yaml").read_text())
    services = sorted(item["metadata"]["name"] for item in documents if item["kind"] == "Service")
    lists = {found for path in FILES for found in re.findall(r'(?:app|_name)=~"\(?([a-z|]+)', path.read_text())}
    assert lists == {"|".join(services)}


def test_a_recorded_name_tells_its_labels() -> None:
    """https://prometheus.io/docs/practices/rules/: level:metric:operations."""
    recorded = [rule for path in FILES for rule in rules(path) if "record" in rule]
    assert len(recorded) > 10
    for rule in recorded:
        level, _, operations = rule["record"].split(":")
        assert re.fullmatch(r"(ratio|p95)_rate(5m|30m|1h|6h|3d)", operations)
        window = operations.rpartition("rate")[2]
        assert set(re.findall(r"\[(\w+)\]", rule["expr"])) == {window}
        by = {label for labels in re.findall(r"by \(([^)]+)\)", rule["expr"]) for label in labels.split(", ")} - {"le"}
        expected = {"destination_service": {"destination_service_namespace", "destination_service_name"}}
        assert by == expected.get(level, {"namespace", level.removeprefix("namespace_")})

"""The output of a verification."""

import json
from dataclasses import replace

import pytest

from bookinfo_lab.scenarios import report
from bookinfo_lab.scenarios.runner import ClaimResult

PASSED = ClaimResult("canary", 1, "10 %", "browser: GET /", "all: status 200", "200: 2", "503: 2", "passed", 1e-8)
FAILED = replace(PASSED, step=2, observed="503: 2", outcome="failed")


def test_table_has_a_line_per_traffic_and_per_claim() -> None:
    lines = report.table([PASSED, FAILED]).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step", "", "1", "2"]
    assert "browser: GET /" in lines[1]
    assert lines[2].endswith("passed")
    assert lines[3].endswith("failed")


def test_long_cell_is_wrapped_completely() -> None:
    words = " ".join(f"word{number}" for number in range(40))
    table = report.table([replace(PASSED, observed=words)])
    assert all(f"word{number}" in table for number in range(40))


@pytest.mark.parametrize("width", [100, 160])
def test_table_fits_the_width(width: int) -> None:
    table = report.table([replace(PASSED, observed="word " * 40, outcome="passed without the rule")], width)
    assert max(map(len, table.splitlines())) <= width


def test_summary_counts_outcomes_and_adds_probabilities() -> None:
    text = report.summary([PASSED, FAILED], 12.3)
    assert text.startswith("2 claims in 12 s: 1 failed, 1 passed.")
    assert "2e-08" in text
    assert "by chance" not in report.summary([replace(PASSED, false_alarm_probability=0.0)], 1)


def test_summary_names_steps_with_unchecked_claims() -> None:
    unchecked = replace(PASSED, step=3, outcome="not checked", false_alarm_probability=0.0)
    assert "Steps with unchecked claims: canary 3." in report.summary([PASSED, unchecked, unchecked], 1)
    assert "unchecked" not in report.summary([PASSED], 1)


def test_json_contains_all_claims() -> None:
    output = json.loads(report.as_json([PASSED, FAILED], 12.3))
    assert (output["failed"], output["claims"][1]["outcome"]) == (1, "failed")

"""What verification prints."""

import json
from dataclasses import replace

import pytest

from bookinfo_lab.scenarios import report
from bookinfo_lab.scenarios.runner import Judged

PROVED = Judged("canary", 1, "10 %", "browser: GET /", "all answered 200", "200: 2", "503: 2", "holds", 1e-8)
FAILED = replace(PROVED, step=2, seen="503: 2", outcome="fails")


def test_a_table_has_a_line_for_the_traffic_and_one_for_each_claim() -> None:
    lines = report.table([PROVED, FAILED]).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step", "", "1", "2"]
    assert "browser: GET /" in lines[1]
    assert lines[2].endswith("holds")
    assert lines[3].endswith("fails")


def test_a_long_cell_is_wrapped_and_nothing_is_lost() -> None:
    words = " ".join(f"word{number}" for number in range(40))
    table = report.table([replace(PROVED, seen=words)])
    assert all(f"word{number}" in table for number in range(40))


@pytest.mark.parametrize("width", [100, 160])
def test_a_table_is_no_wider_than_it_may_be(width: int) -> None:
    table = report.table([replace(PROVED, seen="word " * 40, outcome="holds without its rule")], width)
    assert max(map(len, table.splitlines())) <= width


def test_the_summary_counts_outcomes_and_adds_up_chances() -> None:
    text = report.summary([PROVED, FAILED], 12.3)
    assert text.startswith("2 claims in 12 s: 1 fails, 1 holds.")
    assert "2e-08" in text
    assert "chance" not in report.summary([replace(PROVED, false_alarm=0.0)], 1)


def test_the_summary_names_the_steps_that_are_not_proved() -> None:
    unchecked = replace(PROVED, step=3, outcome="not checked", false_alarm=0.0)
    assert "Not proved, for something was not checked: canary 3." in report.summary([PROVED, unchecked, unchecked], 1)
    assert "Not proved" not in report.summary([PROVED], 1)


def test_programs_get_json() -> None:
    found = json.loads(report.as_json([PROVED, FAILED], 12.3))
    assert (found["failed"], found["claims"][1]["outcome"]) == (1, "fails")

"""Reports claim results, for people and for programs."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from bookinfo_lab.scenarios.runner import ClaimResult

WIDTH = 160
"""The width of a table, in characters, if the output is not a terminal."""

_STEP = 4
_OUTCOME = 24
_GAP = 2
_Cells = tuple[str, str, str, str, str]
_Widths = tuple[int, int, int, int]
_COLUMNS: _Cells = ("step", "expected", "observed", "observed without the rule", "result")


def table(results: Sequence[ClaimResult], width: int = WIDTH) -> str:
    """Format the claims of one scenario as a table of plain text, at most `width` characters wide (at least 96)."""
    room = max(width - _STEP - _OUTCOME - 4 * _GAP, 60)
    widths = (_STEP, room * 36 // 100, room * 34 // 100, room * 30 // 100)
    lines = list(_wrapped(_COLUMNS, widths))
    traffic = ""
    for row in results:
        if row.traffic != traffic:
            traffic = row.traffic
            lines.append(f"{'':<{_STEP + _GAP}}{traffic}")
        lines += _wrapped(
            (str(row.step), row.expected, row.observed, row.observed_without_rule or "-", row.outcome), widths
        )
    return "\n".join(lines)


def summary(results: Sequence[ClaimResult], seconds: float) -> str:
    """Summarize the run: the number of claims by outcome, and the steps with unchecked claims."""
    outcomes = {outcome: sum(row.outcome == outcome for row in results) for outcome in {row.outcome for row in results}}
    parts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    text = f"{len(results)} claims in {seconds:.0f} s: {parts}."
    unchecked = dict.fromkeys(f"{row.scenario} {row.step}" for row in results if row.outcome == "not checked")
    if unchecked:
        text += f" Steps with unchecked claims: {', '.join(unchecked)}."
    probability = sum(row.false_alarm_probability for row in results)
    if probability:
        text += f" The probability that a claim about shares fails by chance is {probability:.0e}."
    return text


def as_json(results: Iterable[ClaimResult], seconds: float) -> str:
    """Format the run as JSON."""
    rows = list(results)
    failed = sum(row.failed for row in rows)
    report = {"seconds": round(seconds, 1), "failed": failed, "claims": [asdict(row) for row in rows]}
    return json.dumps(report, indent=2)


def _wrapped(cells: _Cells, widths: _Widths) -> Iterator[str]:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells[:4], widths, strict=True)]
    for index in range(max(map(len, columns))):
        texts = [column[index] if index < len(column) else "" for column in columns]
        yield _line((texts[0], texts[1], texts[2], texts[3], cells[4] if index == 0 else ""), widths)


def _line(cells: _Cells, widths: _Widths) -> str:
    padded = [cell.ljust(width + _GAP) for cell, width in zip(cells[:4], widths, strict=True)]
    return "".join((*padded, cells[4])).rstrip()

"""What was expected and what was seen, for people and for programs."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from bookinfo_lab.scenarios.runner import Judged

WIDTH = 160
"""Of a table that no terminal limits, in characters."""

_STEP = 4
_OUTCOME = 21
_GAP = 2
_Cells = tuple[str, str, str, str, str]
_Widths = tuple[int, int, int, int]
_COLUMNS: _Cells = ("step", "expected", "seen", "without the rule", "result")


def table(judged: Sequence[Judged], width: int = WIDTH) -> str:
    """One scenario's claims as a table of plain text, `width` characters wide if that is enough."""
    room = max(width - _STEP - _OUTCOME - 4 * _GAP, 60)
    widths = (_STEP, room * 36 // 100, room * 34 // 100, room * 30 // 100)
    lines = [_line(_COLUMNS, widths)]
    traffic = ""
    for row in judged:
        if row.traffic != traffic:
            traffic = row.traffic
            lines.append(f"{'':<{_STEP + _GAP}}{traffic}")
        lines += _wrapped((str(row.step), row.expected, row.seen, row.without or "-", row.outcome), widths)
    return "\n".join(lines)


def summary(judged: Sequence[Judged], seconds: float) -> str:
    """The whole run in a few sentences: what came of the claims, and which steps are not wholly proved."""
    count = {outcome: sum(row.outcome == outcome for row in judged) for outcome in {row.outcome for row in judged}}
    parts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(count.items()))
    told = f"{len(judged)} claims in {seconds:.0f} s: {parts}."
    unchecked = dict.fromkeys(f"{row.scenario} {row.step}" for row in judged if row.outcome == "not checked")
    if unchecked:
        told += f" Not proved, for something was not checked: {', '.join(unchecked)}."
    alarm = sum(row.false_alarm for row in judged)
    if alarm:
        told += f" By chance alone a claim about shares comes out wrong with a probability of {alarm:.0e}."
    return told


def as_json(judged: Iterable[Judged], seconds: float) -> str:
    """The whole run for programs."""
    rows = list(judged)
    failed = sum(row.bad for row in rows)
    found = {"seconds": round(seconds, 1), "failed": failed, "claims": [asdict(row) for row in rows]}
    return json.dumps(found, indent=2)


def _wrapped(cells: _Cells, widths: _Widths) -> Iterator[str]:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells[:4], widths, strict=True)]
    for index in range(max(map(len, columns))):
        texts = [column[index] if index < len(column) else "" for column in columns]
        yield _line((texts[0], texts[1], texts[2], texts[3], cells[4] if index == 0 else ""), widths)


def _line(cells: _Cells, widths: _Widths) -> str:
    padded = [cell.ljust(width + _GAP) for cell, width in zip(cells[:4], widths, strict=True)]
    return "".join((*padded, cells[4])).rstrip()

"""What was expected and what was seen, for people and for programs."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from bookinfo_lab.scenarios.runner import Judged

_WIDTHS = (5, 44, 46, 38)
_COLUMNS = ("step", "expected", "seen", "without the rule", "result")


def table(judged: Sequence[Judged]) -> str:
    """One scenario's claims as a table of plain text."""
    lines = [_line(_COLUMNS)]
    traffic = ""
    for row in judged:
        if row.traffic != traffic:
            traffic = row.traffic
            lines.append(f"{'':<{_WIDTHS[0]}}  {traffic}")
        lines += _wrapped((str(row.step), row.expected, row.seen, row.without or "-", row.outcome))
    return "\n".join(lines)


def summary(judged: Sequence[Judged], seconds: float) -> str:
    """The whole run in two sentences."""
    count = {outcome: sum(row.outcome == outcome for row in judged) for outcome in {row.outcome for row in judged}}
    parts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(count.items()))
    alarm = sum(row.false_alarm for row in judged)
    return (
        f"{len(judged)} claims in {seconds:.0f} s: {parts}. "
        f"By chance alone a claim about shares comes out wrong with a probability of {alarm:.0e}."
    )


def as_json(judged: Iterable[Judged], seconds: float) -> str:
    """The whole run for programs."""
    rows = list(judged)
    failed = sum(row.bad for row in rows)
    found = {"seconds": round(seconds, 1), "failed": failed, "claims": [asdict(row) for row in rows]}
    return json.dumps(found, indent=2)


def _wrapped(cells: tuple[str, str, str, str, str]) -> Iterator[str]:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells[:4], _WIDTHS, strict=True)]
    for index in range(max(map(len, columns))):
        texts = [column[index] if index < len(column) else "" for column in columns]
        yield _line((texts[0], texts[1], texts[2], texts[3], cells[4] if index == 0 else ""))


def _line(cells: tuple[str, str, str, str, str]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells[:4], _WIDTHS, strict=True)]
    return "  ".join((*padded, cells[4])).rstrip()

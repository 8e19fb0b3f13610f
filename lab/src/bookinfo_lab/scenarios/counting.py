"""Numbers in the texts that proxies and applications give."""

import re
from collections.abc import Iterator

from bookinfo_lab.scenarios.model import Counter, Log


def total(text: str, counter: Counter) -> int:
    """What the counter stands at in `text`: Envoy's `/stats`, or an application's `/metrics`."""
    return sum(values(text, counter))


def values(text: str, counter: Counter) -> Iterator[int]:
    """Every number that belongs to the counter."""
    separator = " " if counter.application else ": "
    for line in text.splitlines():
        name, _, value = line.rpartition(separator)
        if re.fullmatch(counter.pattern, name) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            yield int(float(value))


def lines(text: str, log: Log) -> int:
    """How many lines of `text` belong to the log."""
    return sum(bool(re.search(log.pattern, line)) for line in text.splitlines())

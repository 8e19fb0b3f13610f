"""Reads numbers from the texts that proxies and applications return."""

import re
from collections.abc import Iterator

from bookinfo_lab.scenarios.model import Counter, LogPattern


def total(text: str, counter: Counter) -> int:
    """Return the counter's value in `text`, which is Envoy's `/stats` or an application's `/metrics`."""
    return sum(values(text, counter))


def values(text: str, counter: Counter) -> Iterator[int]:
    """Yield every number that belongs to the counter."""
    separator = " " if counter.application else ": "
    for line in text.splitlines():
        name, _, value = line.rpartition(separator)
        if re.fullmatch(counter.pattern, name) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            yield int(float(value))


def lines(text: str, log: LogPattern) -> int:
    """Return the number of lines that match."""
    return sum(bool(re.search(log.pattern, line)) for line in text.splitlines())

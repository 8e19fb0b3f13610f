"""Values that occur in many kinds: each check yields what is wrong with one."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bookinfo_lab.resources.documents import Path
from bookinfo_lab.resources.model.networking import Percent, PortSelector

_HOST = re.compile(
    r"(?:\*|(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)", re.IGNORECASE
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEADER = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_MILLISECOND = 0.001


@dataclass(frozen=True)
class Problem:
    """What is wrong, where (a path below the object's `spec`), and what to do about it."""

    message: str
    path: Path
    hint: str = ""


def not_empty(values: Iterable[object], path: Path) -> Iterator[Problem]:
    """A list that needs at least one item."""
    if not list(values):
        yield Problem(f"{path[-1]} is missing or empty", path[:-1], f"add {path[-1]}")


def host(name: str, path: Path) -> Iterator[Problem]:
    """A DNS name, `*.suffix` or `*`."""
    if not _HOST.fullmatch(name):
        yield Problem(f"{name!r} is not a host", path, "write a name like reviews, *.example.com or *, without a port")


def label(name: str, path: Path) -> Iterator[Problem]:
    """A DNS label (RFC 1123)."""
    if not _LABEL.fullmatch(name):
        yield Problem(f"{name[:80]!r} is not a {path[-1]}", path, "use up to 63 of a-z, 0-9 and -, not - at the ends")


def port(number: int, path: Path) -> Iterator[Problem]:
    """A port number."""
    yield from within(number, 1, 65535, path)


def destination_port(selector: PortSelector | None, path: Path) -> Iterator[Problem]:
    """The port of a destination, if it names one."""
    if selector is not None:
        yield from port(selector.number, (*path, "number"))


def port_text(text: str, path: Path) -> Iterator[Problem]:
    """A port number as text."""
    if not re.fullmatch("[0-9]{1,9}", text):
        yield Problem(f"{text!r} is not a port", path, "write a number")
    else:
        yield from port(int(text), path)


def within(value: float, low: int, high: int, path: Path) -> Iterator[Problem]:
    """A number within bounds, both included."""
    if not low <= value <= high:
        yield Problem(f"{path[-1]} is {value:g}, not within {low} and {high}", path, f"write {low} to {high}")


def percentage(percent: Percent | None, path: Path) -> Iterator[Problem]:
    """A share of 0 to 100."""
    if percent is not None:
        yield from within(percent.value, 0, 100, (*path, "value"))


def positive_duration(seconds: float | None, path: Path) -> Iterator[Problem]:
    """A duration that Istio takes: 1 ms or more."""
    if seconds is not None and seconds < _MILLISECOND:
        yield Problem(f"{path[-1]} is shorter than 1ms", path, "write 1ms or more, or take it out")


def header_name(name: str, path: Path) -> Iterator[Problem]:
    """The name of a header (RFC 9110, section 5.1), or one of HTTP/2's like `:authority`."""
    if not _HEADER.fullmatch(name.removeprefix(":")):
        yield Problem(f"{name!r} is not the name of a header", path, "write letters, digits and dashes")


def ip_block(block: str, path: Path) -> Iterator[Problem]:
    """An address, or a block of them in CIDR form."""
    try:
        ipaddress.ip_network(block, strict=False)
    except ValueError:
        yield Problem(f"{block!r} is not an address block", path, "write it like 127.0.0.0/8")

"""Checks of values that occur in many kinds. Each yields the problems of one value."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bookinfo_lab.errors import Message, manifest_errors
from bookinfo_lab.resources.documents import FieldPath
from bookinfo_lab.resources.model.networking import Percent, PortSelector

_HOST = re.compile(
    r"(?:\*|(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)", re.IGNORECASE
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEADER = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_MILLISECOND = 0.001


@dataclass(frozen=True)
class Problem:
    """An error, and the path of its field below the object's `spec`."""

    message: Message
    path: FieldPath


def not_empty(values: Iterable[object], path: FieldPath) -> Iterator[Problem]:
    """A list of at least one item."""
    if not list(values):
        yield Problem(manifest_errors.empty_list(str(path[-1])), path[:-1])


def host(name: str, path: FieldPath) -> Iterator[Problem]:
    """A DNS name, `*.suffix` or `*`."""
    if not _HOST.fullmatch(name):
        yield Problem(manifest_errors.invalid_host(name), path)


def label(name: str, path: FieldPath) -> Iterator[Problem]:
    """A DNS label (RFC 1123)."""
    if not _LABEL.fullmatch(name):
        yield Problem(manifest_errors.invalid_name(name), path)


def port(number: int, path: FieldPath) -> Iterator[Problem]:
    """A port number."""
    yield from within(number, 1, 65535, path)


def destination_port(selector: PortSelector | None, path: FieldPath) -> Iterator[Problem]:
    """The port of a destination, if it has one."""
    if selector is not None:
        yield from port(selector.number, (*path, "number"))


def https_has_tls(protocol: str, tls: object, path: FieldPath) -> Iterator[Problem]:
    """The `tls` of a port, which exactly the protocol HTTPS requires."""
    if protocol == "HTTPS" and tls is None:
        yield Problem(manifest_errors.https_without_tls(), path)
    if protocol != "HTTPS" and tls is not None:
        yield Problem(manifest_errors.tls_without_https(protocol), path)


def port_text(text: str, path: FieldPath) -> Iterator[Problem]:
    """A port number as text."""
    if not re.fullmatch("[0-9]{1,9}", text):
        yield Problem(manifest_errors.invalid_port(text), path)
    else:
        yield from port(int(text), path)


def within(value: float, low: int, high: int, path: FieldPath) -> Iterator[Problem]:
    """A number from `low` to `high`, both included."""
    if not low <= value <= high:
        yield Problem(manifest_errors.out_of_range(value, low, high), path)


def percentage(percent: Percent | None, path: FieldPath) -> Iterator[Problem]:
    """A percentage from 0 to 100."""
    if percent is not None:
        yield from within(percent.value, 0, 100, (*path, "value"))


def positive_duration(seconds: float | None, path: FieldPath) -> Iterator[Problem]:
    """A duration of 1 ms or more, which Istio requires."""
    if seconds is not None and seconds < _MILLISECOND:
        yield Problem(manifest_errors.duration_too_short(), path)


def header_name(name: str, path: FieldPath) -> Iterator[Problem]:
    """The name of a header (RFC 9110, section 5.1), or one of HTTP/2's like `:authority`."""
    if not _HEADER.fullmatch(name.removeprefix(":")):
        yield Problem(manifest_errors.invalid_header_name(name), path)


def ip_block(block: str, path: FieldPath) -> Iterator[Problem]:
    """An IP address, or a CIDR block."""
    try:
        ipaddress.ip_network(block, strict=False)
    except ValueError:
        yield Problem(manifest_errors.invalid_ip_block(block), path)

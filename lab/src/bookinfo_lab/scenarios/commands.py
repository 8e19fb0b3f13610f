"""Commands that a person can type to do and to see what a scenario does and claims.

What is claimed of many requests is shown by as many as it takes, counted. `#[1-100]` is curl's own loop: it sends the
URL a hundred times, without what stands behind `#`.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from bookinfo_lab.scenarios.claims import Between, Counts, CountsEach, Every, InOrder, Logs, No, Share
from bookinfo_lab.scenarios.matchers import Both, Carrying, Matcher, ServedBy, Showing, Taking
from bookinfo_lab.scenarios.model import (
    Browser,
    Claim,
    Counter,
    Generated,
    Log,
    Manifest,
    Observation,
    Pod,
    Scaled,
    Traffic,
)

GATEWAY = "http://localhost:8080"
SAMPLE = 100
"""Requests that show a share."""

FEW = 5
"""Requests that show what holds for each."""

CROWD = 8
"""So many at once that one after the other would not do."""

_COUNTED = "sort | uniq -c"


def change(verb: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Apply or delete (`verb`) manifests."""
    for manifest in manifests:
        match manifest:
            case Generated():
                yield f"{manifest.command} | bookinfo {verb} -f -"
            case Scaled():
                yield f"bookinfo scale {manifest.deployment} --replicas {manifest.replicas}"
            case _:
                yield f"bookinfo {verb} -f {manifest}"


def sign_in(traffic: Traffic) -> Iterator[str]:
    """Sign in, if the traffic's browser is to be."""
    if isinstance(traffic.caller, Browser) and traffic.caller.user:
        yield f"curl -s -c jar.txt -d username={traffic.caller.user} {GATEWAY}/login"


def look(observation: Observation) -> Iterator[str]:
    """Send the traffic, or as much of it as shows the claims, and count what they are about."""
    traffic = observation.traffic
    claims = (*observation.shows, *observation.keeps)
    matchers = [matcher for claim in claims for matcher in _matchers(claim)]
    texts = _texts(matchers)
    reads = list(dict.fromkeys(read for claim in claims for read in claim.reads))
    count = _count(traffic, claims)
    yield from (_read(read) for read in reads if isinstance(read, Log) or not read.gauge)
    timed = any(isinstance(matcher, Taking) for matcher in matchers)
    if timed:
        yield _times(traffic, count)
    if texts:
        yield _appearances(traffic, texts, _headers(matchers), 1 if timed else count)
    elif not timed:
        in_order = any(isinstance(claim, InOrder) for claim in claims)
        yield _statuses(traffic, _headers(matchers), count, "uniq -c" if in_order else _COUNTED)
    if any(isinstance(read, Log) for read in reads):
        yield "sleep 1"  # Envoy writes its log twice a second
    yield from map(_read, reads)


def _count(traffic: Traffic, claims: Sequence[Claim]) -> int:
    """How many requests show the claims: numbers of others are about all of the traffic."""
    if any(isinstance(claim, Counts | CountsEach | Logs | InOrder) for claim in claims):
        return traffic.count
    if any(isinstance(claim, Share | Between) for claim in claims):
        return min(traffic.count, SAMPLE)
    return min(traffic.count, FEW)


def _matchers(claim: Claim) -> Iterator[Matcher]:
    if isinstance(claim, Every | No | Share | Between | CountsEach):
        yield from _parts(claim.matcher)


def _parts(matcher: Matcher) -> Iterator[Matcher]:
    if isinstance(matcher, Both):
        yield from _parts(matcher.one)
        yield from _parts(matcher.other)
    else:
        yield matcher


def _texts(matchers: Iterable[Matcher]) -> list[str]:
    """What to look for in an answer, as extended regular expressions."""
    found = [re.sub(r"([][\\^$*+?(){}|])", r"\\\1", item.text) for item in matchers if isinstance(item, Showing)]
    versions = ["reviews-v[123]"] if any(isinstance(matcher, ServedBy) for matcher in matchers) else []
    return list(dict.fromkeys([*found, *versions]))


def _headers(matchers: Iterable[Matcher]) -> list[str]:
    return list(dict.fromkeys(matcher.name for matcher in matchers if isinstance(matcher, Carrying)))


def _times(traffic: Traffic, count: int) -> str:
    """The time of each request, or how many took how many whole seconds."""
    options = ["-o", "/dev/null", "-w", r"status %{http_code} in %{time_total} s\n"]
    command = _in_pod(traffic, _curl(traffic, count, options, parallel=traffic.concurrency > 1))
    return command if count <= CROWD else f"{command} | cut -d. -f1 | {_COUNTED}"


def _statuses(traffic: Traffic, headers: Sequence[str], count: int, counted: str) -> str:
    options = ["-o", "/dev/null", "-w", _summary(headers)]
    command = _in_pod(traffic, _curl(traffic, count, options, parallel=traffic.concurrency >= CROWD))
    return f"{command} | {counted}"


def _appearances(traffic: Traffic, texts: Sequence[str], headers: Sequence[str], count: int) -> str:
    """In how many answers each text is. One answer may hold a text twice, so each is looked at by itself."""
    options = ["-w", r"\n" + _summary(headers)]
    grep = " ".join(["grep -oE", *(f"-e {shlex.quote(text)}" for text in ["^status .*", *texts])])
    one = f"{_in_pod(traffic, _curl(traffic, 1, options))} | {grep} | sort -u"
    return f"for i in $(seq {count}); do {one}; done | {_COUNTED}" if count > 1 else one


def _summary(headers: Sequence[str]) -> str:
    """What curl is to write of an answer."""
    return ", ".join(["status %{http_code}", *(f"{name}: %header{{{name}}}" for name in headers)]) + r"\n"


def _read(read: Counter | Log) -> str:
    """A number that the traffic changes."""
    if isinstance(read, Log):
        return f"bookinfo logs --sidecar {read.workload} | grep -cE {shlex.quote(read.pattern)}"
    if read.application:
        metrics = f"http://{read.workload.rpartition('-')[0]}:9080/metrics"
        return f"bookinfo exec client -- curl -s {metrics} | grep -E {shlex.quote(read.pattern)}"
    return f"bookinfo proxy {read.workload} /stats | grep -E {shlex.quote(read.pattern)}"


def _in_pod(traffic: Traffic, command: str) -> str:
    return f"bookinfo exec {traffic.caller} -- {command}" if isinstance(traffic.caller, Pod) else command


def _curl(traffic: Traffic, count: int, more: Sequence[str], *, parallel: bool = False) -> str:
    options = ["-s"] + (["-X", traffic.method] if traffic.method != "GET" else [])
    options += [option for name, value in traffic.headers for option in ("-H", f"{name}: {value}")]
    url = traffic.url
    if isinstance(traffic.caller, Browser):
        url = GATEWAY + url
        options += ["-A", traffic.caller.agent] if traffic.caller.agent else []
        options += ["-b", "jar.txt"] if traffic.caller.user else []
    if traffic.per_second:
        options += ["--rate", f"{traffic.per_second:g}/s"]
    elif parallel:
        options += ["-Z", "--no-progress-meter", "--parallel-immediate", "--parallel-max", str(traffic.concurrency)]
    bearer = f' -H "Authorization: Bearer $(cat {traffic.token})"' if traffic.token else ""
    several = f"{url}#[1-{count}]" if count > 1 else url
    return f"curl {shlex.join([*options, *more])}{bearer} {shlex.quote(several)}"

"""Shell commands that do what a scenario does and show what it claims.

A claim about many requests is shown by enough requests, with counted results. `#[1-100]` is a loop of curl: it sends
the URL a hundred times, without the text after `#`.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from bookinfo_lab.scenarios.claims import (
    CounterIncrease,
    CounterMatches,
    Every,
    LogLines,
    NoneOf,
    Share,
    ShareBetween,
    StatusSequence,
)
from bookinfo_lab.scenarios.matchers import AllOf, Contains, HasHeader, Matcher, ServedBy, Takes
from bookinfo_lab.scenarios.model import (
    Browser,
    Claim,
    Counter,
    GeneratedManifest,
    LogPattern,
    Manifest,
    Observation,
    Pod,
    ScaledDeployment,
    Traffic,
)

GATEWAY = "http://localhost:8080"
SHARE_SAMPLE = 100
"""The number of requests that shows a share."""

REPETITIONS = 5
"""The number of requests that shows a property of every response."""

HIGH_CONCURRENCY = 8
"""The concurrency from which sequential requests would not show the claim."""

_COUNTED = "sort | uniq -c"


def change(verb: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield the commands that apply or delete (`verb`) manifests."""
    for manifest in manifests:
        match manifest:
            case GeneratedManifest():
                yield f"{manifest.command} | bookinfo {verb} -f -"
            case ScaledDeployment():
                yield f"bookinfo scale {manifest.deployment} --replicas {manifest.replicas}"
            case _:
                yield f"bookinfo {verb} -f {manifest}"


def sign_in(traffic: Traffic) -> Iterator[str]:
    """Yield the command that signs the browser's user in, if there is one."""
    if isinstance(traffic.caller, Browser) and traffic.caller.user:
        yield f"curl -s -c jar.txt -d username={traffic.caller.user} {GATEWAY}/login"


def observe(observation: Observation) -> Iterator[str]:
    """Yield the commands that send the traffic, or enough of it to show the claims, and count the results."""
    traffic = observation.traffic
    claims = (*observation.effects, *observation.invariants)
    matchers = [matcher for claim in claims for matcher in _matchers(claim)]
    texts = _texts(matchers)
    reads = list(dict.fromkeys(read for claim in claims for read in claim.reads))
    count = _count(traffic, claims)
    yield from (_read(read) for read in reads if isinstance(read, LogPattern) or not read.gauge)
    timed = any(isinstance(matcher, Takes) for matcher in matchers)
    if timed:
        yield _times(traffic, count)
    if texts:
        yield _text_counts(traffic, texts, _headers(matchers), 1 if timed else count)
    elif not timed:
        in_order = any(isinstance(claim, StatusSequence) for claim in claims)
        yield _statuses(traffic, _headers(matchers), count, "uniq -c" if in_order else _COUNTED)
    if any(isinstance(read, LogPattern) for read in reads):
        yield "sleep 1"  # Envoy writes its log twice a second
    yield from map(_read, reads)


def _count(traffic: Traffic, claims: Sequence[Claim]) -> int:
    """Return the number of requests that shows the claims. A counter or a log needs all of the traffic."""
    if any(isinstance(claim, CounterIncrease | CounterMatches | LogLines | StatusSequence) for claim in claims):
        return traffic.count
    if any(isinstance(claim, Share | ShareBetween) for claim in claims):
        return min(traffic.count, SHARE_SAMPLE)
    return min(traffic.count, REPETITIONS)


def _matchers(claim: Claim) -> Iterator[Matcher]:
    if isinstance(claim, Every | NoneOf | Share | ShareBetween | CounterMatches):
        yield from _parts(claim.matcher)


def _parts(matcher: Matcher) -> Iterator[Matcher]:
    if isinstance(matcher, AllOf):
        yield from _parts(matcher.one)
        yield from _parts(matcher.other)
    else:
        yield matcher


def _texts(matchers: Iterable[Matcher]) -> list[str]:
    """Return the texts to search for in a response, as extended regular expressions."""
    found = [re.sub(r"([][\\^$*+?(){}|])", r"\\\1", item.text) for item in matchers if isinstance(item, Contains)]
    versions = ["reviews-v[123]"] if any(isinstance(matcher, ServedBy) for matcher in matchers) else []
    return list(dict.fromkeys([*found, *versions]))


def _headers(matchers: Iterable[Matcher]) -> list[str]:
    return list(dict.fromkeys(matcher.name for matcher in matchers if isinstance(matcher, HasHeader)))


def _times(traffic: Traffic, count: int) -> str:
    """Print the time of each request, or count the requests by whole seconds."""
    options = ["-o", "/dev/null", "-w", r"status %{http_code} in %{time_total} s\n"]
    command = _in_pod(traffic, _curl(traffic, count, options, parallel=traffic.concurrency > 1))
    return command if count <= HIGH_CONCURRENCY else f"{command} | cut -d. -f1 | {_COUNTED}"


def _statuses(traffic: Traffic, headers: Sequence[str], count: int, counter_increases: str) -> str:
    options = ["-o", "/dev/null", "-w", _summary(headers)]
    command = _in_pod(traffic, _curl(traffic, count, options, parallel=traffic.concurrency >= HIGH_CONCURRENCY))
    return f"{command} | {counter_increases}"


def _text_counts(traffic: Traffic, texts: Sequence[str], headers: Sequence[str], count: int) -> str:
    """Count the responses that contain each text, separately, because one response may contain a text twice."""
    options = ["-w", r"\n" + _summary(headers)]
    grep = " ".join(["grep -oE", *(f"-e {shlex.quote(text)}" for text in ["^status .*", *texts])])
    one = f"{_in_pod(traffic, _curl(traffic, 1, options))} | {grep} | sort -u"
    return f"for i in $(seq {count}); do {one}; done | {_COUNTED}" if count > 1 else one


def _summary(headers: Sequence[str]) -> str:
    """Return the format in which curl writes a response."""
    return ", ".join(["status %{http_code}", *(f"{name}: %header{{{name}}}" for name in headers)]) + r"\n"


def _read(read: Counter | LogPattern) -> str:
    """Print a number that the traffic changes."""
    if isinstance(read, LogPattern):
        return f"bookinfo logs --sidecar {read.workload} | grep -cE {shlex.quote(read.pattern)}"
    if read.application:
        metrics = f"http://{read.workload.rpartition('-')[0]}:9080/metrics"
        return f"bookinfo exec client -- curl -s {metrics} | grep -E {shlex.quote(read.pattern)}"
    return f"bookinfo proxy {read.workload} /stats | grep -E {shlex.quote(read.pattern)}"


def _in_pod(traffic: Traffic, command: str) -> str:
    return f"bookinfo exec {traffic.caller} -- {command}" if isinstance(traffic.caller, Pod) else command


def _curl(traffic: Traffic, count: int, further_reading: Sequence[str], *, parallel: bool = False) -> str:
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
    target = f"{url}#[1-{count}]" if count > 1 else url
    return f"curl {shlex.join([*options, *further_reading])}{bearer} {shlex.quote(target)}"

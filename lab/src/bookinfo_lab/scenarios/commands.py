"""Commands that a person can type to do and to see what a scenario does and claims."""

import shlex
from collections.abc import Iterator, Sequence

from bookinfo_lab.scenarios.claims import Between, Every, No, Share
from bookinfo_lab.scenarios.matchers import Carrying, Matcher, ServedBy, Showing, Taking, Unanswered
from bookinfo_lab.scenarios.model import Browser, Claim, Counter, Generated, Manifest, Observation, Pod, Scaled, Traffic

GATEWAY = "http://localhost:8080"
VERSIONS = "| grep -o 'reviews-v[123]' | sort | uniq -c"
CROWD = 20
"""So many at once that a loop would not do."""

STATUS = "-o /dev/null -w '%{http_code} %{time_total} s\\n'"


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
    """Send a part of the traffic, and show what the claims are about."""
    claims = (*observation.shows, *observation.keeps)
    matchers = [matcher for claim in claims for matcher in _matchers(claim)]
    traffic = observation.traffic
    request = _in_pod(traffic, _curl(traffic))
    texts = [matcher.text for matcher in matchers if isinstance(matcher, Showing)]
    if any(isinstance(matcher, ServedBy) for matcher in matchers):
        yield f"for i in $(seq 100); do {request}; done {VERSIONS}"
    elif any(isinstance(matcher, Carrying) for matcher in matchers):
        yield f"{request} -i"
    elif texts and not any(isinstance(matcher, Taking | Unanswered) for matcher in matchers):
        yield f"{request} | grep -F {shlex.quote(texts[0])}"
    elif traffic.concurrency >= CROWD:
        crowd = f"seq {2 * traffic.concurrency} | xargs -P {traffic.concurrency} -I _ {_curl(traffic)} {STATUS}"
        yield _in_pod(traffic, f"sh -c {shlex.quote(crowd)}") if isinstance(traffic.caller, Pod) else crowd
    else:
        yield f"for i in $(seq 5); do {request} {STATUS}; done" if traffic.count > 5 else f"{request} {STATUS}"
    for read in dict.fromkeys(read for claim in claims for read in claim.reads):
        if isinstance(read, Counter) and read.application:
            metrics = f"http://{read.workload.rpartition('-')[0]}:9080/metrics"
            yield f"bookinfo exec client -- curl -s {metrics} | grep -E {shlex.quote(read.pattern)}"
        elif isinstance(read, Counter):
            yield f"bookinfo proxy {read.workload} /stats | grep -E {shlex.quote(read.pattern)}"
        else:
            yield f"bookinfo logs --sidecar {read.workload} | grep -E {shlex.quote(read.pattern)}"


def _matchers(claim: Claim) -> Iterator[Matcher]:
    if isinstance(claim, Every | No | Share | Between):
        yield claim.matcher


def _in_pod(traffic: Traffic, command: str) -> str:
    return f"bookinfo exec {traffic.caller} -- {command}" if isinstance(traffic.caller, Pod) else command


def _curl(traffic: Traffic) -> str:
    options = ["-s"] + (["-X", traffic.method] if traffic.method != "GET" else [])
    options += [option for name, value in traffic.headers for option in ("-H", f"{name}: {value}")]
    url = traffic.url
    if isinstance(traffic.caller, Browser):
        url = GATEWAY + url
        options += ["-A", traffic.caller.agent] if traffic.caller.agent else []
        options += ["-b", "jar.txt"] if traffic.caller.user else []
    bearer = f' -H "Authorization: Bearer $(cat {traffic.token})"' if traffic.token else ""
    return f"curl {shlex.join(options)}{bearer} {shlex.quote(url)}"

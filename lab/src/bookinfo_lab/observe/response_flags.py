"""Envoy's response flags: what a proxy itself did to a request, or saw happen to it.

https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#command-operator-response-flags
"""

from collections.abc import Mapping

INJECTED = ("FI", "DI")
"""What a rule did on purpose: an abort, a delay."""

_MEANINGS: Mapping[str, str] = {
    "DC": "the caller went away",
    "DI": "delayed on purpose",
    "DPE": "the caller's request was malformed",
    "FI": "aborted on purpose",
    "LR": "reset by the proxy",
    "NC": "no such subset or host",
    "NR": "no rule for it",
    "RL": "over the rate limit",
    "UAEX": "refused by authorization",
    "UC": "the connection broke",
    "UF": "no connection",
    "UH": "no healthy instance",
    "UMSDR": "too slow over all tries",
    "UO": "circuit breaker: too many at once",
    "UPE": "the answer was malformed",
    "UR": "reset by the called side",
    "URX": "given up after the last try",
    "UT": "timed out",
}


def split(flags: str) -> list[str]:
    """The flags of a record, which are joined by commas; `-` is none."""
    return [flag for flag in flags.split(",") if flag not in ("", "-")]


def meaning(flags: str) -> str:
    """What they say in words; a flag that is rare stands for itself."""
    return ", ".join(_MEANINGS.get(flag, flag) for flag in split(flags))

"""Envoy as the judge, before a running Envoy sees anything."""

from typing import Any

import pytest

Mesh = Any  # tests/lab/proxies/conftest.py: MeshOnTheWire

TRACES = (
    "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: traces}\n"
    "spec: {tracing: [{randomSamplingPercentage: 100}], accessLogging: [{filter: {expression: FILTER}}]}"
)


def test_what_is_right_is_accepted(mesh: Mesh) -> None:
    assert mesh.refusal(TRACES.replace("FILTER", "response.code >= 400"), "reviews-v1-1") is None


def test_what_only_envoy_can_tell_is_told_in_one_line(mesh: Mesh) -> None:
    said = mesh.refusal(TRACES.replace("FILTER", "response.code >="), "reviews-v1-1")

    assert said is not None
    assert "\n" not in said
    assert "expression" in said


def matching(regex: str) -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        f"spec: {{hosts: [reviews], http: [{{match: [{{uri: {{regex: '{regex}'}}}}], "
        "route: [{destination: {host: reviews}}]}]}"
    )


def test_a_regex_that_only_re2_refuses_is_told(mesh: Mesh) -> None:
    assert mesh.refusal(matching(r"\p{Nope}"), "productpage-v1-1") == r"invalid character class range: \p{Nope}"


@pytest.mark.parametrize("regex", [".*(?i)x", "(?U)a+", r"\(?=x.*", r"\{2000"])
def test_a_regex_that_only_re2_takes_is_accepted(mesh: Mesh, regex: str) -> None:
    assert mesh.refusal(matching(regex), "productpage-v1-1") is None


@pytest.mark.parametrize(
    "http",
    [
        "redirect: {derivePort: FROM_REQUEST_PORT, scheme: https, authority: a.example}",
        "route: [{destination: {host: reviews}, headers: {request: {set: {host: a, x: b}, add: {':authority': c}}}}]",
        "route: [{destination: {host: reviews}, weight: 4294967294}, {destination: {host: ratings}, weight: 1}]",
    ],
)
def test_what_the_checks_let_through_is_accepted(mesh: Mesh, http: str) -> None:
    routing = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
    assert mesh.refusal(f"{routing}spec: {{hosts: [reviews], http: [{{{http}}}]}}", "productpage-v1-1") is None

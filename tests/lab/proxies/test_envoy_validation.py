"""Validation of a configuration by Envoy before a running Envoy reads it."""

from typing import Any

import pytest

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

TRACES = (
    "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: traces}\n"
    "spec: {tracing: [{randomSamplingPercentage: 100}], accessLogging: [{filter: {expression: FILTER}}]}"
)


def test_valid_rules_are_accepted(mesh: Mesh) -> None:
    assert mesh.rejection(TRACES.replace("FILTER", "response.code >= 400"), "reviews-v1-1") is None


def test_error_that_only_envoy_finds_is_one_line(mesh: Mesh) -> None:
    error = mesh.rejection(TRACES.replace("FILTER", "response.code >="), "reviews-v1-1")

    assert error is not None
    assert "\n" not in error
    assert "expression" in error


def matching(regex: str) -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        f"spec: {{hosts: [reviews], http: [{{match: [{{uri: {{regex: '{regex}'}}}}], "
        "route: [{destination: {host: reviews}}]}]}"
    )


def test_regex_that_only_re2_rejects_is_reported(mesh: Mesh) -> None:
    assert mesh.rejection(matching(r"\p{Nope}"), "productpage-v1-1") == r"invalid character class range: \p{Nope}"


@pytest.mark.parametrize("regex", [".*(?i)x", "(?U)a+", r"\(?=x.*", r"\{2000"])
def test_regex_that_only_re2_accepts_is_accepted(mesh: Mesh, regex: str) -> None:
    assert mesh.rejection(matching(regex), "productpage-v1-1") is None


@pytest.mark.parametrize(
    "http",
    [
        "redirect: {derivePort: FROM_REQUEST_PORT, scheme: https, authority: a.example}",
        "route: [{destination: {host: reviews}, headers: {request: {set: {host: a, x: b}, add: {':authority': c}}}}]",
        "route: [{destination: {host: reviews}, weight: 4294967294}, {destination: {host: ratings}, weight: 1}]",
    ],
)
def test_rules_that_validation_accepts_are_accepted_by_envoy(mesh: Mesh, http: str) -> None:
    routing = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
    assert mesh.rejection(f"{routing}spec: {{hosts: [reviews], http: [{{{http}}}]}}", "productpage-v1-1") is None

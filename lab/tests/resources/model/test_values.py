"""Limits and formats of values. The errors are in the golden files of ../test_error_messages.py."""

import base64

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.base import parse_base64

ROUTE = "route: [{destination: {host: reviews}}]"


def parse(kind: str, spec: str) -> Rules:
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: mine}}\nspec: {{{spec}}}\n"
    return Rules.parse(read_documents(text, "mine.yaml"))


def parse_route(http: str) -> Rules:
    return parse("VirtualService", f"hosts: [reviews], http: [{{{http}}}]")


def test_largest_values_are_accepted() -> None:
    assert parse_route(f"timeout: 2562047h, {ROUTE}").virtual_services[0].spec.http[0].timeout == 2562047 * 3600
    hashing = "loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 8388608}}"
    parse("DestinationRule", f"host: a, trafficPolicy: {{{hashing}}}")


def test_overflowing_duration_is_rejected() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_route(f"timeout: {'9' * 400}h, {ROUTE}")
    assert caught.value.code == "duration-too-long"


@pytest.mark.parametrize("http", [f"timeout: {'x' * 100_000}, {ROUTE}", f"{'x' * 100_000}: 1, {ROUTE}"])
def test_long_values_are_shortened_in_errors(http: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_route(http)
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("text", ["+/8=", "+/8", "-_8=", "-_8", ""])
def test_base64_may_have_either_alphabet_and_no_padding(text: str) -> None:
    assert parse_base64(text) == ("+/8=" if text else "")
    assert base64.b64decode(parse_base64(text)) == (b"\xfb\xff" if text else b"")

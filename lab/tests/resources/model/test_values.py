"""Values that Envoy alone would refuse, in words about something else."""

import base64

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.base import parse_base64

TO = "route: [{destination: {host: reviews}}]"


def parsed(kind: str, spec: str) -> Rules:
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: mine}}\nspec: {{{spec}}}\n"
    return Rules.parse(read_documents(text, "mine.yaml"))


def routing(http: str) -> tuple[str, str]:
    return "VirtualService", f"hosts: [reviews], http: [{{{http}}}]"


def hashing(hashed: str) -> tuple[str, str]:
    return (
        "DestinationRule",
        f"host: a, trafficPolicy: {{loadBalancer: {{consistentHash: {{useSourceIp: true, {hashed}}}}}}}",
    )


@pytest.mark.parametrize(
    ("rule", "where", "what"),
    [
        (routing(f"timeout: 99999999999999999999h, {TO}"), "spec.http[0].timeout", "longer than a duration can be"),
        (routing(f"timeout: 2562048h, {TO}"), "spec.http[0].timeout", "write 2562047h or less"),
        (routing(f"timeout: {'9' * 400}h, {TO}"), "spec.http[0].timeout", "longer than a duration can be"),
        (routing("directResponse: {status: 200, body: {bytes: '!!!'}}"), "body.bytes", "'!!!' is not base64"),
        (routing(f"match: [{{uri: {{regex: ''}}}}], {TO}"), "match[0].uri.regex", "cannot be empty; write .* for any"),
        (routing(f"rewrite: {{uriRegexRewrite: {{match: '', rewrite: a}}}}, {TO}"), "Rewrite.match", "cannot be empty"),
        (hashing("minimumRingSize: 99999999999"), "Hash.minimumRingSize", "not within 0 and 8388608"),
        (hashing("ringHash: {minimumRingSize: -1}"), "ringHash.minimumRingSize", "not within 0 and 8388608"),
        (hashing("maglev: {tableSize: 5000012}"), "maglev.tableSize", "not within 0 and 5000011"),
    ],
)  # fmt: skip
def test_it_is_told_at_its_place(rule: tuple[str, str], where: str, what: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parsed(*rule)
    assert where in str(caught.value)
    assert what in str(caught.value)


def test_the_longest_that_there_can_be_are_taken() -> None:
    assert parsed(*routing(f"timeout: 2562047h, {TO}")).virtual_services[0].spec.http[0].timeout == 2562047 * 3600
    parsed(*hashing("minimumRingSize: 8388608"))


def test_a_line_can_be_read_however_long_the_mistake_is() -> None:
    for rule in (routing(f"timeout: {'x' * 100_000}, {TO}"), routing(f"{'x' * 100_000}: 1, {TO}")):
        with pytest.raises(ManifestError) as caught:
            parsed(*rule)
        assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("text", ["+/8=", "+/8", "-_8=", "-_8", ""])
def test_bytes_may_be_in_either_alphabet_padded_or_not(text: str) -> None:
    assert parse_base64(text) == ("+/8=" if text else "")
    assert base64.b64decode(parse_base64(text)) == (b"\xfb\xff" if text else b"")

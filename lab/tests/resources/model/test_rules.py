"""Parsing of the objects of Istio. The errors are in the golden files of ../test_error_messages.py."""

import pytest

from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules

ROUTE = "route: [{destination: {host: reviews}}]"


def virtual_service(http: str) -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mine}\n"
        f"spec: {{hosts: [reviews], http: [{{{http}}}]}}\n"
    )


def error_of(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        Rules.parse(read_documents(text, "mine.yaml"))
    return caught.value


@pytest.mark.parametrize("regex", [".*(?i)x", "(?U)a+", r"\\(?=x.*", r"\\{2000", r"\\x{263a}", "(a"])
def test_regex_syntax_is_left_to_envoy(regex: str) -> None:
    text = virtual_service(f'match: [{{uri: {{regex: "{regex}"}}}}], {ROUTE}')
    assert len(Rules.parse(read_documents(text, "re2.yaml")).virtual_services) == 1


@pytest.mark.parametrize("name", ["Bad_Name", "-a", "a..b", "a" * 254])
def test_invalid_name_is_rejected(name: str) -> None:
    error = error_of(virtual_service(ROUTE).replace("name: mine", f"name: {name}"))
    assert (error.code, error.field, error.line) == ("invalid-name", "metadata.name", 3)


def test_older_api_versions_are_the_same_objects() -> None:
    for version in ("v1", "v1beta1", "v1alpha3"):
        text = virtual_service(ROUTE).replace("networking.istio.io/v1", f"networking.istio.io/{version}")
        assert len(Rules.parse(read_documents(text, "old.yaml")).virtual_services) == 1


def test_fields_set_by_a_server_are_accepted() -> None:
    more = "name: mine, uid: u, resourceVersion: '1', generation: 2, creationTimestamp: 2026-01-01T00:00:00Z"
    text = virtual_service(ROUTE).replace("name: mine", more) + "status: {}\n"

    assert len(Rules.parse(read_documents(text, "again.yaml")).virtual_services) == 1

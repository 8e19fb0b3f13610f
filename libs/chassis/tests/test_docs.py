"""The API description, for machines and for people."""

import re
from collections.abc import Callable

from starlette.testclient import TestClient

Start = Callable[..., TestClient]


def test_openapi_json_describes_the_service(start: Start) -> None:
    answer = start().get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["info"]["title"] == "Bookinfo chassis"
    assert set(document["paths"]) >= {"/things/{thing_id}", "/livez", "/readyz", "/metrics"}


def test_an_id_is_described_with_its_bounds(start: Start) -> None:
    document = start().get("/openapi.json").json()
    schema = document["paths"]["/things/{thing_id}"]["get"]["parameters"][0]["schema"]
    assert (schema["type"], schema["minimum"], schema["maximum"]) == ("integer", 0, 2147483647)


def test_docs_shows_every_operation_of_the_document(start: Start) -> None:
    client = start()
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
    assert "integer from 0 to 2147483647" in page


def test_docs_needs_no_script_and_nothing_from_elsewhere(start: Start) -> None:
    answer = start().get("/docs")
    assert "<script" not in answer.text
    assert re.findall(r'(?:src|href)="([^"]*)"', answer.text) == ["openapi.json"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")

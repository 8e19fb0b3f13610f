"""The API description as JSON and as a page."""

import re
from collections.abc import Callable

from starlette.testclient import TestClient

Start = Callable[..., TestClient]


def test_openapi_json_describes_the_service(start: Start) -> None:
    response = start().get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert document["info"]["title"] == "Bookinfo chassis"
    assert set(document["paths"]) >= {"/things/{thing_id}", "/livez", "/readyz", "/metrics"}


def test_the_api_description_contains_the_bounds_of_an_id(start: Start) -> None:
    document = start().get("/openapi.json").json()
    schema = document["paths"]["/things/{thing_id}"]["get"]["parameters"][0]["schema"]
    assert (schema["type"], schema["minimum"], schema["maximum"]) == ("integer", 0, 2147483647)


def test_docs_shows_every_operation(start: Start) -> None:
    client = start()
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
    assert "integer from 0 to 2147483647" in page


def test_docs_uses_no_script_and_no_other_site(start: Start) -> None:
    response = start().get("/docs")
    assert "<script" not in response.text
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == ["openapi.json"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")

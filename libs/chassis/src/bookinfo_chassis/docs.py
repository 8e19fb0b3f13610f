"""The API description: `/openapi.json` and `/docs`.

The server renders `/docs`. The page needs no script and works offline.
"""

import base64
import hashlib
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
section { border: 1px solid #8886; border-radius: .5rem; padding: 0 1rem 1rem; margin: 1rem 0 }
h2 { font-size: 1.1rem; overflow-wrap: anywhere }
b { display: inline-block; min-width: 3.5rem; color: #06c } @media (prefers-color-scheme: dark) { b { color: #6af } }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .75rem .25rem 0 }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

router = APIRouter()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document. FastAPI's own route would not appear in the metrics."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Return the OpenAPI document as a page."""
    return HTMLResponse(render(request.app.openapi()), headers={"content-security-policy": POLICY})


def render(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    info = document["info"]
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info.get('description', ''))}</p>"
        f'<p>The same as JSON: <a href="openapi.json">openapi.json</a></p>{operations}</body></html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}</td>"
        f"<td>{_schema(parameter.get('schema', {}))}</td></tr>"
        for parameter in operation.get("parameters", [])
    )
    responses = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(response.get('description', ''))}</td></tr>"
        for status, response in operation["responses"].items()
    )
    return (
        f"<section><h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', operation.get('summary', '')))}</p>"
        f"<table><thead><tr><th>Parameter or status</th><th>Meaning</th></tr></thead>"
        f"<tbody>{parameters}{responses}</tbody></table></section>"
    )


def _schema(schema: dict[str, Any]) -> str:
    """Return the type and the bounds of a parameter in words."""
    words = [str(schema.get("type", "any"))]
    words += [f"{label} {schema[key]}" for key, label in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return escape(" ".join(words))

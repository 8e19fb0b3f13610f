"""Protects the watch page from other pages in the same browser.

A hostile page can send requests to this server (see `same_site`). It can also try to embed this page in a frame, or to
read its responses.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookinfo_lab.same_site import Sender

HOSTS = frozenset({"localhost", "127.0.0.1"})
"""The valid host names of this page. Any port is valid, so that a forwarded port works."""

MAX_BODY = 4096
"""The largest request body, in bytes."""

_READ_METHODS = frozenset({"GET", "HEAD"})

_PROTECTIVE_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Rejects requests of other sites, and adds protective headers to every response of `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        reason = rejection_reason(scope["method"], scope["path"], Headers(scope=scope))
        app = PlainTextResponse(f"{reason}\n", status_code=403) if reason else self._app

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_PROTECTIVE_HEADERS)
            await send(message)

        await app(scope, receive, send_protected)


def rejection_reason(method: str, path: str, headers: Headers) -> str:
    """Return why a request is rejected; empty if it is not."""
    sender = Sender.of(headers.raw)
    if sender.host_name.lower() not in HOSTS:
        return "invalid host name; use localhost or 127.0.0.1"
    if not sender.is_own_origin:
        return "requests from other sites are not allowed"
    if method not in _READ_METHODS:
        if not sender.origins or not sender.is_same_site:
            return "only this page may send changes"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return "invalid content type; send changes as application/json"
        if not headers.get("content-length", "").isdecimal() or int(headers["content-length"]) > MAX_BODY:
            return f"invalid content length; send at most {MAX_BODY} bytes"
    elif not sender.is_same_site and not _is_link_to_page(path, headers):
        return "requests from other sites are not allowed"
    return ""


def _is_link_to_page(path: str, headers: Headers) -> bool:
    """Whether a user follows a link to the page. The linking page cannot read the response."""
    return (path, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("/", "navigate", "document")

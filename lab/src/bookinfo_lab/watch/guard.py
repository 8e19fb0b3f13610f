"""Protects the watch page from other pages in the same browser.

Every page that a browser shows can reach a server on loopback. A hostile page can send requests to this server under
its own name, if that name resolves to 127.0.0.1 (DNS rebinding), or under the name localhost. It can try to embed this
page in a frame, or to read its responses.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    """Return why a request is rejected; empty if it is not.

    It depends on the headers that a browser sets and a page cannot change (Origin, Sec-Fetch-*). See
    https://fetch.spec.whatwg.org/#origin-header and https://www.w3.org/TR/fetch-metadata/.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower().partition(":")[0] not in HOSTS:
        return "invalid host name; use localhost or 127.0.0.1"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{hosts[0].lower()}":
        return "requests from other sites are not allowed"
    site = headers.get("sec-fetch-site", "none")
    if method not in _READ_METHODS:
        if origin is None or site not in ("same-origin", "none"):
            return "only this page may send changes"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return "invalid content type; send changes as application/json"
        if not headers.get("content-length", "").isdecimal() or int(headers["content-length"]) > MAX_BODY:
            return f"invalid content length; send at most {MAX_BODY} bytes"
    elif site not in ("same-origin", "none") and not _is_link_to_page(path, headers):
        return "requests from other sites are not allowed"
    return ""


def _is_link_to_page(path: str, headers: Headers) -> bool:
    """Whether a user follows a link to the page. The linking page cannot read the response."""
    return (path, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("/", "navigate", "document")

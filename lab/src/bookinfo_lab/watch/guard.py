"""What keeps a hostile page in the same browser from the watch page.

A server on loopback is reached by every page that the browser shows. Such a page can send requests here, by our name
or, with its own name pointed at 127.0.0.1 (DNS rebinding), by its own; it can try to frame us, or to read our answers.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = frozenset({"localhost", "127.0.0.1"})
"""By which this page may be called. The port is free, so that a forwarded port works; a foreign name is refused."""

MAX_BODY = 4096
"""Bytes of a request."""

_READING = frozenset({"GET", "HEAD"})

_HEADERS: Mapping[str, str] = {
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
    """Lets only our own page's requests through to `app`, and sends its answers with headers that protect it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        why = refusal(scope["method"], scope["path"], Headers(scope=scope))
        app = PlainTextResponse(f"{why}\n", status_code=403) if why else self._app

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await app(scope, receive, send_guarded)


def refusal(method: str, path: str, headers: Headers) -> str:
    """Why a request is not answered; empty if it is.

    What a browser itself says of a request (Origin, Sec-Fetch-*: no page can set them) must fit. See
    https://fetch.spec.whatwg.org/#origin-header and https://www.w3.org/TR/fetch-metadata/.
    """
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower().partition(":")[0] not in HOSTS:
        return "this page is called localhost or 127.0.0.1; another name may be an attempt to get at it"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{hosts[0].lower()}":
        return "no other site may ask this one"
    site = headers.get("sec-fetch-site", "none")
    if method not in _READING:
        if origin is None or site not in ("same-origin", "none"):
            return "only this page itself may change something"
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return "a change is sent as application/json"
        if not headers.get("content-length", "").isdecimal() or int(headers["content-length"]) > MAX_BODY:
            return f"a change has a length, of at most {MAX_BODY} bytes"
    elif site not in ("same-origin", "none") and not _opens_the_page(path, headers):
        return "no other site may ask this one"
    return ""


def _opens_the_page(path: str, headers: Headers) -> bool:
    """Whether somebody follows a link to the page, which shows nothing to who links."""
    return (path, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("/", "navigate", "document")

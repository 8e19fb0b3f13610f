"""The session: a signed cookie with the name of the user, as in the original.

Starlette's SessionMiddleware makes all cookies Secure or none. Here this depends on the protocol of each request.
"""

import logging
import secrets
from unicodedata import category
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeSerializer
from starlette.datastructures import Headers

from bookinfo_productpage.forwarded import TrustedPeers, is_https

logger = logging.getLogger(__name__)

COOKIE = "session"
MAX_NAME = 200
"""Characters. The cookie is far shorter than the limit of browsers, 4096 bytes."""


class Sessions:
    """Reads and writes the session cookie."""

    def __init__(self, secret: str | None, trusted: TrustedPeers) -> None:
        if secret is None:
            logger.warning(
                "SESSION_SECRET is not set: sessions are signed with a random key and are invalid on other replicas"
            )
        self._serializer = URLSafeSerializer(secret or secrets.token_urlsafe(32), salt="bookinfo-session")
        self._trusted = trusted

    def user(self, request: Request) -> str | None:
        """Return the name of the signed-in user, or None."""
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            return None
        try:
            session = self._serializer.loads(cookie)
        except BadData:
            return None
        user = session.get("user") if isinstance(session, dict) else None
        return user if isinstance(user, str) else None

    def sign_in(self, request: Request, response: Response, user: str) -> None:
        """Set the cookie. It ends with the browser's session, is HttpOnly, and is Secure if the browser uses https."""
        response.set_cookie(
            COOKIE,
            str(self._serializer.dumps({"user": user})),
            httponly=True,
            samesite="lax",
            secure=is_https(request.scope, self._trusted),
        )

    def sign_out(self, response: Response) -> None:
        """Delete the cookie."""
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")


def is_valid_name(text: str) -> bool:
    """Return whether `text` is a valid user name.

    A name has 1 to `MAX_NAME` characters, at least one that is not a space, and no control characters. With a line
    break in a name, a client could put any text on a line of its own, where scripts expect the name of a pod.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    printable = not any(category(character) == "Cc" for character in text)
    return printable and bool(text.strip()) and len(text) <= MAX_NAME


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser sends the request for the page of another site.

    Fetch Metadata decides, or Origin if there is none. The browser sets both headers, and pages cannot change them. A
    client without either header, such as curl, is not a browser and has no session that needs protection. Another port
    of this host is another site.
    """
    if site := headers.get("sec-fetch-site"):  # https and localhost only
        return site not in {"same-origin", "none"}
    if origin := headers.get("origin"):
        try:
            return urlsplit(origin).netloc != headers.get("host")
        except ValueError:
            return True
    return False


def end_user_header(user: str) -> bytes:
    """Return the name of a user as the `end-user` header.

    All characters except printable ASCII are percent-encoded as UTF-8. A name can therefore not add another header.
    """
    return quote(user, safe="".join(map(chr, range(0x20, 0x7F))).replace("%", "")).strip().encode()

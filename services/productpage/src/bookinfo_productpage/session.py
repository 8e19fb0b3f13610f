"""Who is signed in: a signed cookie, as the original's, that holds the user's name and nothing else.

Starlette's SessionMiddleware decides once for all whether the cookie is Secure; here it depends on how the browser
came.
"""

import logging
import secrets
from unicodedata import category
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeSerializer
from starlette.datastructures import Headers

from bookinfo_productpage.forwarded import TrustedPeers, came_by_https

logger = logging.getLogger(__name__)

COOKIE = "session"
MAX_NAME = 200
"""Characters; the cookie stays far below the 4096 bytes that browsers keep."""


class Sessions:
    """Reads and writes the session cookie."""

    def __init__(self, secret: str | None, trusted: TrustedPeers) -> None:
        if secret is None:
            logger.warning(
                "SESSION_SECRET is not set: a random key signs the sessions, other replicas cannot read them"
            )
        self._serializer = URLSafeSerializer(secret or secrets.token_urlsafe(32), salt="bookinfo-session")
        self._trusted = trusted

    def user(self, request: Request) -> str | None:
        """The signed-in user's name."""
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
        """Set the cookie: for the browser's session, out of scripts' reach, Secure where the browser came by https."""
        response.set_cookie(
            COOKIE,
            str(self._serializer.dumps({"user": user})),
            httponly=True,
            samesite="lax",
            secure=came_by_https(request.scope, self._trusted),
        )

    def sign_out(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")


def is_name(text: str) -> bool:
    """Whether somebody can sign in as `text`: 1 to `MAX_NAME` characters, not all blank, writable, none of control.

    A line break in a name would put words of the caller's alone on a line, where scripts look for a pod's name.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    printable = not any(category(character) == "Cc" for character in text)
    return printable and bool(text.strip()) and len(text) <= MAX_NAME


def sent_by_another_site(headers: Headers) -> bool:
    """Whether a browser sends this for another site's page: as Fetch Metadata says, else as Origin does.

    Both are the browser's own word, out of a page's reach. What sends neither, as curl, is no browser, and has nobody's
    session to disturb. Another port of this host is another site too.
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
    """A user's name as the `end-user` header: printable ASCII as it is, everything else percent-encoded (UTF-8).

    A name can therefore neither break the header nor add another.
    """
    return quote(user, safe="".join(map(chr, range(0x20, 0x7F))).replace("%", "")).strip().encode()

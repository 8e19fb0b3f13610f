"""What browsers may keep: the static files and the landing page, read once and served from memory.

Each static file has two addresses: its plain one, which is asked about again at every use, and one that holds its hash,
which pages link to and browsers keep for a year. Both are gzipped beforehand where that makes them smaller; the product
page is not, since it is made anew each time and fits into the first packets of a connection as it is.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from fastapi import Response
from starlette.datastructures import Headers

MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """Bytes that stay the same while the process lives."""

    body: bytes
    media_type: str
    digest: str
    gzipped: bytes | None

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Self:
        """With its digest and its gzipped form."""
        gzipped = gzip.compress(body, mtime=0)
        digest = hashlib.sha256(body).hexdigest()[:16]
        return cls(body, media_type, digest, gzipped if len(gzipped) < len(body) else None)

    def response(self, asked: Headers, cache: str, headers: Mapping[str, str]) -> Response:
        """200, or 304 where the browser has it already. The tag is weak: it stands for the gzipped form too."""
        tag = f'W/"{self.digest}"'
        sent = {**headers, "etag": tag, "cache-control": cache, "vary": "Accept-Encoding"}
        if _has(asked.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=sent)
        if self.gzipped and GZIP.search(asked.get("accept-encoding", "")):
            return Response(self.gzipped, headers=sent | {"content-encoding": "gzip"}, media_type=self.media_type)
        return Response(self.body, headers=sent, media_type=self.media_type)


def _has(known: str, tag: str) -> bool:
    """Weak comparison of If-None-Match (RFC 9110, section 13.1.2)."""
    tags = {part.strip() for part in known.split(",")}
    return "*" in tags or tag in tags or tag.removeprefix("W/") in tags


class Assets:
    """The static files by address below /static/."""

    def __init__(self, files: Mapping[str, Content]) -> None:
        self.urls = {name: f"/static/{_hashed(name, content)}" for name, content in files.items()}
        """For templates: where the browser finds a file for good."""
        self._plain = files
        self._hashed = {_hashed(name, content): content for name, content in files.items()}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """All files of `folder`. Raises KeyError for a kind of file that has no media type here."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return cls(
            {
                path.relative_to(folder).as_posix(): Content.of(path.read_bytes(), MEDIA_TYPES[path.suffix])
                for path in paths
            }
        )

    def response(self, name: str, asked: Headers) -> Response | None:
        """The file of that name, hashed or plain; None when there is none."""
        headers = {"x-content-type-options": "nosniff"}
        if content := self._hashed.get(name):
            return content.response(asked, FOREVER, headers)
        if content := self._plain.get(name):
            return content.response(asked, ASK_AGAIN, headers)
        return None


def _hashed(name: str, content: Content) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{content.digest}{path.suffix}"))

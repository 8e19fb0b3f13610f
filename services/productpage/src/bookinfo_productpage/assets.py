"""The static files and the landing page: loaded once, served from memory, and cached by browsers.

Each static file has two URLs. Browsers revalidate the plain one at every use. Pages link to the other one, which
contains the hash of the content and is cached for a year. Files are compressed in advance if that makes them smaller.
The product page is not compressed: it differs for each request and fits into the first packets of a connection.
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
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """A body that does not change while the process runs."""

    body: bytes
    media_type: str
    digest: str
    gzipped: bytes | None

    @classmethod
    def create(cls, body: bytes, media_type: str) -> Self:
        """Return the content with its digest and its compressed form."""
        gzipped = gzip.compress(body, mtime=0)
        digest = hashlib.sha256(body).hexdigest()[:16]
        return cls(body, media_type, digest, gzipped if len(gzipped) < len(body) else None)

    def response(self, request_headers: Headers, cache_control: str, headers: Mapping[str, str]) -> Response:
        """Return 200, or 304 if the browser has the current version.

        The ETag is weak because it also applies to the compressed form.
        """
        tag = f'W/"{self.digest}"'
        response_headers = {**headers, "etag": tag, "cache-control": cache_control, "vary": "Accept-Encoding"}
        if _matches(request_headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=response_headers)
        if self.gzipped and GZIP.search(request_headers.get("accept-encoding", "")):
            return Response(
                self.gzipped, headers=response_headers | {"content-encoding": "gzip"}, media_type=self.media_type
            )
        return Response(self.body, headers=response_headers, media_type=self.media_type)


def _matches(if_none_match: str, tag: str) -> bool:
    """Return whether If-None-Match contains `tag`, by weak comparison (RFC 9110, section 13.1.2)."""
    tags = {part.strip() for part in if_none_match.split(",")}
    return "*" in tags or tag in tags or tag.removeprefix("W/") in tags


class Assets:
    """The static files by their path below /static/."""

    def __init__(self, files: Mapping[str, Content]) -> None:
        self.urls = {name: f"/static/{_hashed(name, content)}" for name, content in files.items()}
        """The immutable URL of each file, for templates."""
        self._plain = files
        self._hashed = {_hashed(name, content): content for name, content in files.items()}

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load all files of `directory`. Raises KeyError for a file type that is not in `MEDIA_TYPES`."""
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
        return cls(
            {
                path.relative_to(directory).as_posix(): Content.create(path.read_bytes(), MEDIA_TYPES[path.suffix])
                for path in paths
            }
        )

    def response(self, name: str, request_headers: Headers) -> Response | None:
        """Return the file with this name, with or without its hash, or None if it does not exist."""
        headers = {"x-content-type-options": "nosniff"}
        if content := self._hashed.get(name):
            return content.response(request_headers, IMMUTABLE, headers)
        if content := self._plain.get(name):
            return content.response(request_headers, REVALIDATE, headers)
        return None


def _hashed(name: str, content: Content) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{content.digest}{path.suffix}"))

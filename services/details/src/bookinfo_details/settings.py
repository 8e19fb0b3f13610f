"""What details reads from its environment."""

import ssl
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from bookinfo_chassis.settings import Hostname, Port, ServiceSettings


class Settings(ServiceSettings):
    """v1 knows the book itself; v2 asks an external book service."""

    version: Literal["v1", "v2"] = Field(default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION"))
    enable_external_book_service: bool | None = Field(
        default=None, description="Ask the external book service; default: in v2"
    )
    do_not_encrypt: bool = Field(
        default=False, description="Ask it by plain HTTP, so that the mesh can originate TLS (or see the request)"
    )
    external_books_host: Hostname = Field(default="www.googleapis.com", description="Where the Google Books API is")
    external_books_port: Port | None = Field(default=None, description="Default: 443, or 80 with DO_NOT_ENCRYPT")
    external_books_ca_file: Path | None = Field(
        default=None, description="PEM file with the CA of the external book service; default: the system's"
    )

    @field_validator("external_books_ca_file")
    @classmethod
    def _holds_certificates(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                ssl.create_default_context(cafile=path)
            except OSError as error:  # SSLError is one
                raise ValueError(f"no certificates can be read from it: {error.strerror or error}") from None
        return path

    @property
    def external(self) -> bool:
        """Whether details come from outside."""
        if self.enable_external_book_service is None:
            return self.version == "v2"
        return self.enable_external_book_service

    @property
    def external_books_url(self) -> str:
        """The external book service's base URL."""
        scheme, default_port = ("http", 80) if self.do_not_encrypt else ("https", 443)
        host = f"[{self.external_books_host}]" if ":" in self.external_books_host else self.external_books_host
        return f"{scheme}://{host}:{self.external_books_port or default_port}"

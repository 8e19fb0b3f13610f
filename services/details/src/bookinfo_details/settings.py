"""The settings of details."""

import ssl
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from bookinfo_chassis.settings import Hostname, Port, ServiceSettings


class Settings(ServiceSettings):
    """v1 has built-in details. v2 calls an external book service."""

    version: Literal["v1", "v2"] = Field(default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION"))
    enable_external_book_service: bool | None = Field(
        default=None, description="Call the external book service; default: true in v2"
    )
    do_not_encrypt: bool = Field(
        default=False,
        description="Call the external book service without TLS, so that the mesh can see the request or originate TLS",
    )
    external_books_host: Hostname = Field(default="www.googleapis.com", description="Host of the Google Books API")
    external_books_port: Port | None = Field(default=None, description="Port; default: 443, or 80 with DO_NOT_ENCRYPT")
    external_books_ca_file: Path | None = Field(
        default=None, description="PEM file with the CA of the external book service; default: the CAs of the system"
    )

    @field_validator("external_books_ca_file")
    @classmethod
    def _has_certificates(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                ssl.create_default_context(cafile=path)
            except OSError as error:  # SSLError is one
                raise ValueError(f"cannot read certificates from it: {error.strerror or error}") from None
        return path

    @property
    def uses_external_service(self) -> bool:
        """Whether the details come from the external book service."""
        if self.enable_external_book_service is None:
            return self.version == "v2"
        return self.enable_external_book_service

    @property
    def external_books_url(self) -> str:
        """The base URL of the external book service."""
        scheme, default_port = ("http", 80) if self.do_not_encrypt else ("https", 443)
        host = f"[{self.external_books_host}]" if ":" in self.external_books_host else self.external_books_host
        return f"{scheme}://{host}:{self.external_books_port or default_port}"

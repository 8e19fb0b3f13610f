"""The settings of productpage."""

from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, StringConstraints, field_validator

from bookinfo_chassis.settings import Hostname, Port, ServiceSettings, service_url
from bookinfo_productpage.forwarded import TrustedPeers


class Settings(ServiceSettings):
    """The addresses of the other services, and the settings of sessions."""

    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")] = Field(
        default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION")
    )
    services_domain: Hostname | None = Field(
        default=None, description="Domain that is appended to the host names of services"
    )
    details_hostname: Hostname = Field(default="details", description="Host name of details")
    details_service_port: Port = Field(default=9080, description="Port of details; also set by Kubernetes")
    reviews_hostname: Hostname = Field(default="reviews", description="Host name of reviews")
    reviews_service_port: Port = Field(default=9080, description="Port of reviews; also set by Kubernetes")
    ratings_hostname: Hostname = Field(default="ratings", description="Host name of ratings")
    ratings_service_port: Port = Field(default=9080, description="Port of ratings; also set by Kubernetes")
    flood_factor: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="Extra calls to reviews before each page, to simulate a faulty client"
    )
    session_secret: SecretStr | None = Field(
        default=None, description="Key that signs session cookies, 16 characters or more; the same for all replicas"
    )
    trusted_proxies: str = Field(
        default="127.0.0.1,::1,127.0.0.6,unix",
        description="Peers whose X-Forwarded-Proto is used: addresses, networks, `unix` for the Unix socket. "
        "127.0.0.6 is the address of Istio's sidecar",
    )

    trace_url_template: str | None = Field(
        default=None,
        description="URL of a trace, to which the page links: http(s), with `{trace_id}` in it",
    )

    @field_validator("trace_url_template")
    @classmethod
    def _contains_trace_id(cls, template: str | None) -> str | None:
        if template is not None and not (template.startswith(("http://", "https://")) and "{trace_id}" in template):
            raise ValueError("expected a URL that starts with http:// or https:// and contains {trace_id}")
        return template

    @field_validator("session_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 16:
            raise ValueError("expected at least 16 characters")
        return secret

    @field_validator("trusted_proxies")
    @classmethod
    def _valid_peers(cls, text: str) -> str:
        TrustedPeers.parse(text)
        return text

    @property
    def details_url(self) -> str:
        """The base URL of details."""
        return service_url(self.details_hostname, self.details_service_port, self.services_domain)

    @property
    def reviews_url(self) -> str:
        """The base URL of reviews."""
        return service_url(self.reviews_hostname, self.reviews_service_port, self.services_domain)

    @property
    def ratings_url(self) -> str:
        """The base URL of ratings."""
        return service_url(self.ratings_hostname, self.ratings_service_port, self.services_domain)

"""The settings of reviews."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints

from bookinfo_chassis.settings import Hostname, Port, ServiceSettings, service_url


class Settings(ServiceSettings):
    """v1 shows no stars, v2 black stars, v3 red stars. ENABLE_RATINGS and STAR_COLOR override the version."""

    version: Literal["v1", "v2", "v3"] = Field(
        default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION")
    )
    enable_ratings: bool | None = Field(
        default=None, description="Show the stars of ratings; default: true in v2 and v3"
    )
    star_color: Annotated[str, StringConstraints(pattern="^[a-z]{1,20}$")] | None = Field(
        default=None, description="Color of the stars; default: red in v3, otherwise black"
    )
    services_domain: Hostname | None = Field(
        default=None, description="Domain that is appended to the host names of services"
    )
    ratings_hostname: Hostname = Field(default="ratings", description="Host name of ratings")
    ratings_service_port: Port = Field(default=9080, description="Port of ratings; also set by Kubernetes")
    cluster_name: str = Field(default="null", description="Name of the cluster, shown with the name of the pod")

    @property
    def shows_ratings(self) -> bool:
        """Whether the service calls ratings."""
        return self.version != "v1" if self.enable_ratings is None else self.enable_ratings

    @property
    def color(self) -> str:
        """The color of the stars."""
        return self.star_color or ("red" if self.version == "v3" else "black")

    @property
    def ratings_time_limit(self) -> float:
        """Time limit of a call to ratings in seconds. Istio's fault injection task depends on the long one of v2."""
        return 10.0 if self.color == "black" else 2.5

    @property
    def ratings_url(self) -> str:
        """The base URL of ratings."""
        return service_url(self.ratings_hostname, self.ratings_service_port, self.services_domain)

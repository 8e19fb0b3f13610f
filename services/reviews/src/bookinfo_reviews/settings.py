"""What reviews reads from its environment."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints

from bookinfo_chassis.settings import Hostname, Port, ServiceSettings, service_url


class Settings(ServiceSettings):
    """v1 shows no stars, v2 black ones, v3 red ones; ENABLE_RATINGS and STAR_COLOR override what VERSION says."""

    version: Literal["v1", "v2", "v3"] = Field(
        default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION")
    )
    enable_ratings: bool | None = Field(default=None, description="Ask ratings for stars; default: in v2 and v3")
    star_color: Annotated[str, StringConstraints(pattern="^[a-z]{1,20}$")] | None = Field(
        default=None, description="Default: red in v3, black otherwise"
    )
    services_domain: Hostname | None = Field(default=None, description="Appended to the host names of services")
    ratings_hostname: Hostname = Field(default="ratings", description="Host name of ratings")
    ratings_service_port: Port = Field(default=9080, description="Port of ratings; Kubernetes sets it too")
    cluster_name: str = Field(default="null", description="Shown with the pod's name")

    @property
    def shows_ratings(self) -> bool:
        """Whether ratings is asked."""
        return self.version != "v1" if self.enable_ratings is None else self.enable_ratings

    @property
    def color(self) -> str:
        """The stars' colour."""
        return self.star_color or ("red" if self.version == "v3" else "black")

    @property
    def ratings_time_limit(self) -> float:
        """Seconds for a call of ratings: the black build is patient, which is what the fault tasks teach with."""
        return 10.0 if self.color == "black" else 2.5

    @property
    def ratings_url(self) -> str:
        """The base URL of ratings."""
        return service_url(self.ratings_hostname, self.ratings_service_port, self.services_domain)

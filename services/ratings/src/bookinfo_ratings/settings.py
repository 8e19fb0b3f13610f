"""The settings of ratings."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from bookinfo_chassis.settings import Percent, Seconds, ServiceSettings


class Settings(ServiceSettings):
    """v1 works. The other versions have the fault mode of their name."""

    version: Literal["v1", "v-faulty", "v-delayed", "v-unavailable", "v-unhealthy"] = Field(
        default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION")
    )
    faulty_percent: Percent = Field(default=50.0, description="v-faulty: share of GET requests that return 503")
    delayed_percent: Percent = Field(default=50.0, description="v-delayed: share of GET requests that are delayed")
    delayed_seconds: Seconds = Field(default=7.0, description="v-delayed: length of the delay")
    unavailable_period_seconds: Annotated[Seconds, Field(gt=0)] = Field(
        default=60.0, description="v-unavailable: length of the alternating periods, first available, then unavailable"
    )
    unhealthy_period_seconds: Annotated[Seconds, Field(gt=0)] = Field(
        default=900.0, description="v-unhealthy: length of the alternating periods, first healthy, then unhealthy"
    )

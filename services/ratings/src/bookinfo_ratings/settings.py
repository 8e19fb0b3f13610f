"""What ratings reads from its environment."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from bookinfo_chassis.settings import Percent, Seconds, ServiceSettings


class Settings(ServiceSettings):
    """v1 works; the others are sick in the way their names say."""

    version: Literal["v1", "v-faulty", "v-delayed", "v-unavailable", "v-unhealthy"] = Field(
        default="v1", validation_alias=AliasChoices("VERSION", "SERVICE_VERSION")
    )
    faulty_percent: Percent = Field(default=50.0, description="v-faulty: share of GETs answered 503")
    delayed_percent: Percent = Field(default=50.0, description="v-delayed: share of GETs held up")
    delayed_seconds: Seconds = Field(default=7.0, description="v-delayed: for how long")
    unavailable_period_seconds: Annotated[Seconds, Field(gt=0)] = Field(
        default=60.0, description="v-unavailable: available for so long, unavailable for as long, and so on"
    )
    unhealthy_period_seconds: Annotated[Seconds, Field(gt=0)] = Field(
        default=900.0, description="v-unhealthy: healthy for so long, unhealthy for as long, and so on"
    )

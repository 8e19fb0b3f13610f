"""The reviews of a book, and the JSON of the response."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

TEXTS: Mapping[str, str] = {
    "Reviewer1": "Two pairs of twins, one day, and not a dull minute. I laughed to the last page, and began again.",
    "Reviewer2": "The farce is as quick as ever, and under it is a family that finds itself. Read it aloud.",
}
RATINGS_UNAVAILABLE = "Ratings service is currently unavailable"


class Rating(BaseModel):
    """The number of stars and their color."""

    stars: int
    color: str


class RatingError(BaseModel):
    """The error if there are no stars."""

    error: str


class Review(BaseModel):
    """The review of one reviewer. v1 has no `rating`."""

    reviewer: str
    text: str
    rating: Rating | RatingError | None = None


class Reviews(BaseModel):
    """The reviews of a book, and the pod that responded. `id` is a string, as in the original."""

    id: str
    podname: str
    clustername: str
    reviews: list[Review]


@dataclass(frozen=True)
class PodFields:
    """The parts of a response that depend on the pod: its name, its cluster, and the color of its stars."""

    podname: str
    clustername: str
    color: str


def reviews_json(product_id: int, pod: PodFields, ratings: Mapping[str, int] | None, *, shows_ratings: bool) -> str:
    """Return the response with exactly the spacing of the original, because documented tasks compare its text."""
    reviews = ",".join(
        f'{{  "reviewer": {json.dumps(reviewer)},  "text": {json.dumps(text)}'
        + (f', "rating": {_rating(reviewer, pod.color, ratings)}' if shows_ratings else "")
        + "}"
        for reviewer, text in TEXTS.items()
    )
    return (
        f'{{"id": "{product_id}","podname": {json.dumps(pod.podname)},'
        f'"clustername": {json.dumps(pod.clustername)},"reviews": [{reviews}]}}'
    )


def _rating(reviewer: str, color: str, ratings: Mapping[str, int] | None) -> str:
    stars = ratings.get(reviewer) if ratings else None
    return json.dumps({"error": RATINGS_UNAVAILABLE} if stars is None else {"stars": stars, "color": color})

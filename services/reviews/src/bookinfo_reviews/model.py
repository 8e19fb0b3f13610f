"""The reviews of a book, and the JSON in which they are answered."""

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
    """How many stars, and in which colour they are drawn."""

    stars: int
    color: str


class RatingError(BaseModel):
    """Why there are no stars."""

    error: str


class Review(BaseModel):
    """What one reader says. `rating` is missing in v1."""

    reviewer: str
    text: str
    rating: Rating | RatingError | None = None


class Reviews(BaseModel):
    """A book's reviews, and which instance tells them. `id` is a string, as in the original."""

    id: str
    podname: str
    clustername: str
    reviews: list[Review]


@dataclass(frozen=True)
class Origin:
    """The instance that answers: its pod, its cluster, the colour of its stars."""

    podname: str
    clustername: str
    color: str


def reviews_json(product_id: int, origin: Origin, ratings: Mapping[str, int] | None, *, shows_ratings: bool) -> str:
    """The answer, with the original's very spacing: documented tasks compare its text."""
    reviews = ",".join(
        f'{{  "reviewer": {json.dumps(reviewer)},  "text": {json.dumps(text)}'
        + (f', "rating": {_rating(reviewer, origin.color, ratings)}' if shows_ratings else "")
        + "}"
        for reviewer, text in TEXTS.items()
    )
    return (
        f'{{"id": "{product_id}","podname": {json.dumps(origin.podname)},'
        f'"clustername": {json.dumps(origin.clustername)},"reviews": [{reviews}]}}'
    )


def _rating(reviewer: str, color: str, ratings: Mapping[str, int] | None) -> str:
    stars = ratings.get(reviewer) if ratings else None
    return json.dumps({"error": RATINGS_UNAVAILABLE} if stars is None else {"stars": stars, "color": color})

"""The posted ratings, in the memory of the process."""

from collections.abc import Mapping

DEFAULT_RATINGS: Mapping[str, int] = {"Reviewer1": 5, "Reviewer2": 4}
"""The ratings of a book until a client posts others."""

MAX_BOOKS = 1000
"""Number of books with posted ratings, so that clients cannot fill the memory. Each has up to 64 KiB."""


class StoreFullError(Exception):
    """The store already has ratings for `MAX_BOOKS` books."""


class Store:
    """Ratings by book: stars by reviewer."""

    def __init__(self) -> None:
        self._posted: dict[int, Mapping[str, int]] = {}

    def get(self, product_id: int) -> Mapping[str, int]:
        """Return the ratings of a book."""
        return self._posted.get(product_id, DEFAULT_RATINGS)

    def put(self, product_id: int, ratings: Mapping[str, int]) -> None:
        """Replace the ratings of a book. Raises `StoreFullError`."""
        if product_id not in self._posted and len(self._posted) >= MAX_BOOKS:
            raise StoreFullError
        self._posted[product_id] = ratings

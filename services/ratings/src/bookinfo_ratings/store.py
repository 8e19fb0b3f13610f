"""The ratings that were posted, in this process' memory."""

from collections.abc import Mapping

DEFAULT_RATINGS: Mapping[str, int] = {"Reviewer1": 5, "Reviewer2": 4}
"""What every book has until somebody posts others."""

MAX_BOOKS = 1000
"""Books with ratings of their own, so that callers cannot fill the memory: one has 64 KiB at most."""


class StoreFullError(Exception):
    """There are ratings of `MAX_BOOKS` books already."""


class Store:
    """Ratings by book: reviewer to stars."""

    def __init__(self) -> None:
        self._posted: dict[int, Mapping[str, int]] = {}

    def get(self, product_id: int) -> Mapping[str, int]:
        """The ratings of a book."""
        return self._posted.get(product_id, DEFAULT_RATINGS)

    def put(self, product_id: int, ratings: Mapping[str, int]) -> None:
        """Replace the ratings of a book. Raises `StoreFullError`."""
        if product_id not in self._posted and len(self._posted) >= MAX_BOOKS:
            raise StoreFullError
        self._posted[product_id] = ratings

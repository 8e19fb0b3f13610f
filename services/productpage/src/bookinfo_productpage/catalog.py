"""The products: one book, as in the original."""

from pydantic import BaseModel


class Product(BaseModel):
    """A book. `descriptionHtml` is trusted HTML; the page shows it without escaping."""

    id: int
    title: str
    descriptionHtml: str  # noqa: N815 - the name in the API


PRODUCTS = (
    Product(
        id=0,
        title="The Comedy of Errors",
        descriptionHtml=(
            '<a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia Summary</a>: two pairs of twins, '
            "parted by a shipwreck, come to the same town on the same day without knowing of each other. It is the "
            "shortest and the most farcical of <b>William Shakespeare's</b> plays: everybody is taken for somebody "
            "else, and every mistake makes the next."
        ),
    ),
)

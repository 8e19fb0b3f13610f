"""The details of a book, as in the JSON of the response."""

from pydantic import BaseModel, ConfigDict, Field


class Details(BaseModel):
    """The details of one edition of a book. The fields are in the order of the JSON."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    author: str
    year: int | str = Field(description="v1: a number; v2: the publishing date as the external book service formats it")
    type: str
    pages: int
    publisher: str
    language: str
    isbn_10: str = Field(alias="ISBN-10")
    isbn_13: str = Field(alias="ISBN-13")


def built_in_details(product_id: int) -> Details:
    """Return the details of v1: the same edition for every id."""
    return Details(
        id=product_id,
        author="William Shakespeare",
        year=1595,
        type="paperback",
        pages=200,
        publisher="PublisherA",
        language="English",
        isbn_10="1234567890",
        isbn_13="123-1234567890",
    )

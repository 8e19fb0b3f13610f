"""The HTML pages: their templates, and the headers that keep a browser safe with them."""

from dataclasses import dataclass

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bookinfo_productpage.backends import Answer, Details, Reviews
from bookinfo_productpage.catalogue import Product

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # /login and /logout lead back to where one was
}
MAX_STARS = 5


@dataclass(frozen=True)
class Pages:
    """The templates, compiled once."""

    index_template: Template
    product_template: Template

    def index(self) -> HTMLResponse:
        """The landing page."""
        return HTMLResponse(self.index_template.render(), headers=HEADERS)

    def product(
        self, product: Product, user: str | None, details: Answer[Details], reviews: Answer[Reviews]
    ) -> HTMLResponse:
        """A book's page: whatever its backends did, the rest is there."""
        text = self.product_template.render(
            product=product, user=user, details=details.model, reviews=reviews.model, max_stars=MAX_STARS
        )
        return HTMLResponse(text, headers=HEADERS | {"vary": "Cookie"})


def load_pages() -> Pages:
    """Read and compile the templates."""
    environment = Environment(
        loader=PackageLoader("bookinfo_productpage"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Pages(environment.get_template("index.html"), environment.get_template("productpage.html"))

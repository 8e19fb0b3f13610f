"""The HTML pages: what they show, their templates, and the headers that keep a browser safe with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from bookinfo_chassis.instance import Instance
from bookinfo_productpage.assets import Content
from bookinfo_productpage.backends import Answer, Details, Reviews
from bookinfo_productpage.catalogue import Product

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # /login and /logout lead back to where one was
}
PRODUCT_HEADERS = HEADERS | {"vary": "Cookie", "cache-control": "private, no-cache"}
NOBODY = Instance("")
MAX_STARS = 5
STAR = Markup('<svg class="glyphicon glyphicon-star" viewBox="0 0 24 24"><use href="#star"/></svg>')
NO_STAR = Markup('<svg class="empty" viewBox="0 0 24 24"><use href="#star"/></svg>')


@dataclass(frozen=True)
class Visit:
    """Who asks for a page, and by which ids the request is found again. None: not signed in, or no such header."""

    user: str | None = None
    end_user: str | None = None
    """The header that tells the user to the other services."""
    trace_id: str | None = None
    request_id: str | None = None


class Hop(NamedTuple):
    """A service's part in a page. The template unpacks it."""

    name: str
    level: int
    """How many calls lead to it."""
    state: Literal["ok", "failed", "idle"]
    note: str = ""
    instance: Instance = NOBODY
    took: str = ""
    share: int = 0
    """Of the page's time, in percent."""
    cluster: str = ""


class Pages:
    """Renders them. `trace_url` has the place `{trace_id}`, or is None."""

    def __init__(self, templates: tuple[Template, Template], instance: Instance, trace_url: str | None) -> None:
        index, self._product = templates
        self._instance = instance
        self._trace_url = trace_url
        self.index = Content.of(index.render().encode(), "text/html; charset=utf-8")
        """The landing page: the same for everybody."""

    def product(
        self, product: Product, visit: Visit, details: Answer[Details], reviews: Answer[Reviews]
    ) -> HTMLResponse:
        """A book's page: whatever its backends did, the rest is there."""
        text = self._product.render(
            product=product,
            visit=visit,
            details=details.model,
            reviews=reviews.model,
            hops=hops(self._instance, details, reviews),
            trace_url=self._trace_url.replace("{trace_id}", visit.trace_id)
            if self._trace_url and visit.trace_id
            else None,
        )
        return HTMLResponse(text, headers=PRODUCT_HEADERS)


def hops(page: Instance, details: Answer[Details], reviews: Answer[Reviews]) -> Sequence[Hop]:
    """Every service's part in a page, callers first."""
    total = max(details.seconds, reviews.seconds) or 1.0
    return (
        Hop("productpage", 0, "ok", instance=page),
        _called("details", details, total),
        _reviews(reviews, total),
        _ratings(reviews.model),
    )


def _called(name: str, answer: Answer[Details] | Answer[Reviews], total: float) -> Hop:
    state: Literal["ok", "failed"] = "failed" if answer.problem else "ok"
    note = answer.problem or ""
    if answer.attempts > 1:
        note = f"{note or 'answered'}, asked {answer.attempts} times"
    share = round(100 * answer.seconds / total)
    return Hop(name, 1, state, note, answer.instance or NOBODY, _duration(answer.seconds), share)


def _reviews(answer: Answer[Reviews], total: float) -> Hop:
    """The body tells the pod and the cluster, as the original's does; the version is told by the header alone."""
    hop = _called("reviews", answer, total)
    if answer.model is None:
        return hop
    cluster = answer.model.clustername
    instance = Instance(hop.instance.version, answer.model.podname)
    return hop._replace(instance=instance, cluster="" if cluster == "null" else cluster)


def _ratings(reviews: Reviews | None) -> Hop:
    """ratings as reviews tells of it: this service does not ask it for the page."""
    if reviews is None:
        return Hop("ratings", 2, "idle", "not known: reviews did not tell")
    given = [review.rating for review in reviews.reviews if review.rating]
    if not given:
        return Hop("ratings", 2, "idle", "not asked: this version of reviews shows no stars")
    if any(rating.error for rating in given):
        return Hop("ratings", 2, "failed", "did not answer reviews")
    return Hop("ratings", 2, "ok", "answered reviews")


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def load_pages(urls: dict[str, str], instance: Instance, trace_url: str | None) -> Pages:
    """Read and compile the templates. `urls` tells where each static file is."""
    environment = Environment(
        loader=PackageLoader("bookinfo_productpage"),
        autoescape=True,
        auto_reload=False,  # else every page looks at the files' times
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=urls, STAR=STAR, NO_STAR=NO_STAR, MAX_STARS=MAX_STARS)
    # Once, and not by a base template: inheritance would cost every page some 15 % more.
    environment.globals["head"] = Markup(environment.get_template("head.html").render())  # noqa: S704 - a template's text
    templates = (environment.get_template("index.html"), environment.get_template("productpage.html"))
    return Pages(templates, instance, trace_url)

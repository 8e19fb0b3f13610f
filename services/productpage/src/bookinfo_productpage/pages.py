"""The HTML pages: their content, their templates, and their security headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from bookinfo_chassis.pod_info import PodInfo
from bookinfo_productpage.assets import Content
from bookinfo_productpage.backends import BackendResponse, Details, Reviews
from bookinfo_productpage.catalog import Product

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # /login and /logout redirect to the previous page
}
PRODUCT_HEADERS = HEADERS | {"vary": "Cookie", "cache-control": "private, no-cache"}
UNKNOWN_POD = PodInfo("")
MAX_STARS = 5
STAR = Markup('<svg class="glyphicon glyphicon-star" viewBox="0 0 24 24"><use href="#star"/></svg>')
NO_STAR = Markup('<svg class="empty" viewBox="0 0 24 24"><use href="#star"/></svg>')


@dataclass(frozen=True)
class RequestInfo:
    """The user and the ids of a request. None: not signed in, or the request has no such header."""

    user: str | None = None
    end_user: str | None = None
    """The value of the header with the user for the other services."""
    trace_id: str | None = None
    request_id: str | None = None


class Hop(NamedTuple):
    """The part of a service in a page. The template unpacks the fields in this order."""

    name: str
    level: int
    """Number of calls from productpage to the service."""
    state: Literal["ok", "failed", "idle"]
    note: str = ""
    pod: PodInfo = UNKNOWN_POD
    duration: str = ""
    share: int = 0
    """Duration in percent of the longest call."""
    cluster: str = ""


class Pages:
    """Renders the pages. `trace_url` contains `{trace_id}`, or is None."""

    def __init__(self, templates: tuple[Template, Template], pod: PodInfo, trace_url: str | None) -> None:
        index, self._product = templates
        self._pod = pod
        self._trace_url = trace_url
        self.index = Content.create(index.render().encode(), "text/html; charset=utf-8")
        """The landing page. It is the same for all users."""

    def product(
        self,
        product: Product,
        request_info: RequestInfo,
        details: BackendResponse[Details],
        reviews: BackendResponse[Reviews],
    ) -> HTMLResponse:
        """Return the page of a book. It shows an error in place of each section whose backend failed."""
        text = self._product.render(
            product=product,
            request_info=request_info,
            details=details.model,
            reviews=reviews.model,
            hops=hops(self._pod, details, reviews),
            trace_url=self._trace_url.replace("{trace_id}", request_info.trace_id)
            if self._trace_url and request_info.trace_id
            else None,
        )
        return HTMLResponse(text, headers=PRODUCT_HEADERS)


def hops(productpage: PodInfo, details: BackendResponse[Details], reviews: BackendResponse[Reviews]) -> Sequence[Hop]:
    """Return the part of each service in a page, callers first."""
    total = max(details.seconds, reviews.seconds) or 1.0
    return (
        Hop("productpage", 0, "ok", pod=productpage),
        _backend_hop("details", details, total),
        _reviews_hop(reviews, total),
        _ratings_hop(reviews.model),
    )


def _backend_hop(name: str, response: BackendResponse[Details] | BackendResponse[Reviews], total: float) -> Hop:
    state: Literal["ok", "failed"] = "failed" if response.error else "ok"
    note = response.error or ""
    if response.attempts > 1:
        note = f"{note or 'responded'}, called {response.attempts} times"
    share = round(100 * response.seconds / total)
    return Hop(name, 1, state, note, response.pod or UNKNOWN_POD, _duration(response.seconds), share)


def _reviews_hop(response: BackendResponse[Reviews], total: float) -> Hop:
    """Return the hop of reviews, with the pod and the cluster of the body, as in the original.

    Only the header contains the version.
    """
    hop = _backend_hop("reviews", response, total)
    if response.model is None:
        return hop
    cluster = response.model.clustername
    pod = PodInfo(hop.pod.version, response.model.podname)
    return hop._replace(pod=pod, cluster="" if cluster == "null" else cluster)


def _ratings_hop(reviews: Reviews | None) -> Hop:
    """Return the hop of ratings according to reviews: productpage does not call ratings for the page."""
    if reviews is None:
        return Hop("ratings", 2, "idle", "unknown: reviews did not respond")
    ratings = [review.rating for review in reviews.reviews if review.rating]
    if not ratings:
        return Hop("ratings", 2, "idle", "not called: this version of reviews shows no stars")
    if any(rating.error for rating in ratings):
        return Hop("ratings", 2, "failed", "did not respond to reviews")
    return Hop("ratings", 2, "ok", "responded to reviews")


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def load_pages(urls: dict[str, str], pod: PodInfo, trace_url: str | None) -> Pages:
    """Load the templates. `urls` are the URLs of the static files."""
    environment = Environment(
        loader=PackageLoader("bookinfo_productpage"),
        autoescape=True,
        auto_reload=False,  # otherwise every page checks the modification times of the files
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=urls, STAR=STAR, NO_STAR=NO_STAR, MAX_STARS=MAX_STARS)
    # Rendered once instead of inherited: a base template makes every page 15 % slower.
    environment.globals["head"] = Markup(environment.get_template("head.html").render())  # noqa: S704 - trusted: the text of a template
    templates = (environment.get_template("index.html"), environment.get_template("productpage.html"))
    return Pages(templates, pod, trace_url)

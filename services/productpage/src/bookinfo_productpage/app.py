"""The application of productpage: its dependencies and its routes."""

from pathlib import Path

import httpx

from bookinfo_chassis.app import Service, create_service
from bookinfo_chassis.client import create_transport
from bookinfo_chassis.metrics import ServiceMetrics
from bookinfo_chassis.pod_info import PodInfo
from bookinfo_productpage import api_routes, page_routes, session_routes
from bookinfo_productpage.api_routes import INVALID_ID
from bookinfo_productpage.assets import Assets
from bookinfo_productpage.backends import Backends
from bookinfo_productpage.forwarded import TrustedPeers
from bookinfo_productpage.pages import load_pages
from bookinfo_productpage.session import Sessions
from bookinfo_productpage.settings import Settings


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Service:
    """Return the application. Tests pass a `transport` that replaces the network."""
    metrics = ServiceMetrics.create()
    transport = transport or create_transport(settings)
    urls = {"details": settings.details_url, "reviews": settings.reviews_url, "ratings": settings.ratings_url}
    backends = Backends(urls, transport, metrics)
    secret = settings.session_secret.get_secret_value() if settings.session_secret else None
    sessions = Sessions(secret, TrustedPeers.parse(settings.trusted_proxies))
    assets = Assets.load(Path(__file__).parent / "static")
    pages = load_pages(assets.urls, PodInfo.from_settings(settings), settings.trace_url_template)
    return create_service(
        "productpage",
        settings,
        [
            page_routes.create_router(pages, assets, backends, sessions, settings.flood_factor),
            session_routes.create_router(sessions),
            api_routes.create_router(backends, sessions),
        ],
        description="The product page and its public API. Any user name and password are accepted: this is a sample.",
        validation_error=INVALID_ID,
        service_metrics=metrics,
        transport=transport,
        dropped_headers=frozenset({b"end-user"}),
        fast_routes=["/productpage"],
    )

"""Where the metrics are read: Prometheus, or one endpoint with those of the whole mesh, as the local lab has."""

from collections.abc import Mapping
from typing import Any, Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bookinfo_canary.errors import CanaryError
from bookinfo_canary.metrics import DURATIONS, REQUESTS, Selector, Snapshot

_WITHIN = 10.0


class Source(Protocol):
    """Reads counters."""

    def read(self) -> Snapshot:
        """The counters as they are now.

        Raises:
            CanaryError: they cannot be had.
        """
        ...


class Prometheus:
    """A Prometheus, or anything that speaks its HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api)."""

    def __init__(self, url: str, selector: Selector) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._query = selector.promql

    def read(self) -> Snapshot:
        """See `Source`."""
        response = _get(self._url, {"query": self._query})
        try:
            answer: Mapping[str, Any] = response.json()
            if answer["status"] == "success":
                return dict(
                    _counter(dict(item["metric"]), float(item["value"][1])) for item in answer["data"]["result"]
                )
        except (ValueError, KeyError, TypeError) as error:
            raise CanaryError(f"{self._url}: this is not the answer of a Prometheus") from error
        raise CanaryError(f"{self._url}: {answer.get('error', 'no reason given')}")


class Endpoint:
    """Metrics in the text format."""

    def __init__(self, url: str, selector: Selector) -> None:
        self._url = url
        self._selector = selector

    def read(self) -> Snapshot:
        """See `Source`."""
        text = _get(self._url, {}).text
        try:
            samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        except ValueError as error:
            raise CanaryError(f"{self._url}: these are no metrics in Prometheus' text format") from error
        return dict(
            _counter({**sample.labels, "__name__": sample.name}, sample.value)
            for sample in samples
            if sample.name in (REQUESTS, DURATIONS) and self._selector.takes(sample.labels)
        )


def _counter(labels: dict[str, str], value: float) -> tuple[tuple[str, frozenset[tuple[str, str]]], float]:
    name = labels.pop("__name__")
    return (name, frozenset(labels.items())), value


def _get(url: str, parameters: Mapping[str, str]) -> httpx.Response:
    try:
        response = httpx.get(url, params=dict(parameters), timeout=_WITHIN)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CanaryError(f"{url}: the metrics cannot be read ({str(error) or type(error).__name__})") from error
    # Prometheus says what is wrong with a query in the body of a 4xx.
    if response.status_code != 200 and "json" not in response.headers.get("content-type", ""):
        raise CanaryError(f"{url}: the metrics cannot be read (status {response.status_code})")
    return response

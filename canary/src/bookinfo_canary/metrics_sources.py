"""Where the metrics are read: from Prometheus, or from one endpoint with the metrics of the whole mesh (the lab's)."""

from collections.abc import Mapping
from typing import Any, Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bookinfo_canary.errors import CanaryError
from bookinfo_canary.metrics import DURATION_BUCKETS, REQUESTS, Series, SeriesSelector, Snapshot

_READ_TIMEOUT_SECONDS = 10.0


class MetricsSource(Protocol):
    """Reads counters."""

    def read(self) -> Snapshot:
        """Return the current counters.

        Raises:
            CanaryError: the counters cannot be read.
        """
        ...


class PrometheusSource:
    """A server with Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api)."""

    def __init__(self, url: str, selector: SeriesSelector) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._query = selector.promql

    def read(self) -> Snapshot:
        """See `MetricsSource`."""
        response = _get(self._url, {"query": self._query})
        try:
            body: Mapping[str, Any] = response.json()
            if body["status"] == "success":
                return dict(_counter(dict(item["metric"]), float(item["value"][1])) for item in body["data"]["result"])
        except (ValueError, KeyError, TypeError) as error:
            raise CanaryError(f"{self._url}: the response is not that of a Prometheus") from error
        raise CanaryError(f"{self._url}: {body.get('error', 'Prometheus gave no reason')}")


class TextEndpointSource:
    """An endpoint with metrics in Prometheus' text format."""

    def __init__(self, url: str, selector: SeriesSelector) -> None:
        self._url = url
        self._selector = selector

    def read(self) -> Snapshot:
        """See `MetricsSource`."""
        text = _get(self._url, {}).text
        try:
            samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        except ValueError as error:
            raise CanaryError(f"{self._url}: the response is not in Prometheus' text format") from error
        return dict(
            _counter({**sample.labels, "__name__": sample.name}, sample.value)
            for sample in samples
            if sample.name in (REQUESTS, DURATION_BUCKETS) and self._selector.matches(sample.labels)
        )


def _counter(labels: dict[str, str], value: float) -> tuple[Series, float]:
    name = labels.pop("__name__")
    return (name, frozenset(labels.items())), value


def _get(url: str, parameters: Mapping[str, str]) -> httpx.Response:
    try:
        response = httpx.get(url, params=dict(parameters), timeout=_READ_TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CanaryError(f"{url}: cannot read the metrics ({str(error) or type(error).__name__})") from error
    # Prometheus explains an invalid query in the body of a 4xx response.
    if response.status_code != 200 and "json" not in response.headers.get("content-type", ""):
        raise CanaryError(f"{url}: cannot read the metrics (status {response.status_code})")
    return response

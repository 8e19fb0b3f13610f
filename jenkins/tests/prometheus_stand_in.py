"""A Prometheus that is asked by the canary controller, and says of every version that it had more requests since.

What it answers is not traffic: how the controller judges real traffic is proved by its own tests, in the lab.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.chart.stand_in import Cluster

REQUESTS = 500
"""So many more with each question."""


@dataclass
class Metrics:
    """What is told of the subsets in the cluster's destination rules."""

    cluster: Cluster
    namespace: str
    failing: bool = False
    """Whether every request to a canary ends with 503."""
    questions: int = 0
    asked: threading.Event = field(default_factory=threading.Event)

    def vector(self) -> list[dict[str, object]]:
        """The series of a query's answer."""
        self.questions += 1
        self.asked.set()
        count = self.questions * REQUESTS
        series: list[dict[str, object]] = []
        for rule in self.cluster.stored("DestinationRule").values():
            for subset in rule["spec"].get("subsets", []):
                code = "503" if self.failing and "-" in subset["name"] else "200"
                labels = {
                    "reporter": "source",
                    "destination_service_namespace": self.namespace,
                    "destination_service_name": rule["spec"]["host"],
                    "destination_version": subset["name"],
                    "response_code": code,
                }
                buckets = [{"le": le} for le in ("10", "100", "+Inf")]
                names = ["istio_requests_total"], ["istio_request_duration_milliseconds_bucket"] * len(buckets)
                for name, more in zip([*names[0], *names[1]], [{}, *buckets], strict=True):
                    series.append({"metric": {"__name__": name, **labels, **more}, "value": [0, str(count)]})
        return series


@contextmanager
def prometheus(metrics: Metrics) -> Iterator[str]:
    """Its address, while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {"status": "success", "data": {"resultType": "vector", "result": metrics.vector()}}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

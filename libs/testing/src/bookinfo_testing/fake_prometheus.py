"""A fake Prometheus for the canary controller: each query reports more requests to every subset.

It measures no traffic. The tests of the controller use a real Prometheus in a real lab.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bookinfo_testing.fake_kubernetes import FakeKubernetes

REQUESTS_PER_QUERY = 500


@dataclass
class FakePrometheus:
    """The metrics of the subsets in the cluster's destination rules."""

    cluster: FakeKubernetes
    namespace: str
    canary_fails: bool = False
    """Whether every request to a canary ends with 503. A canary's subset has a dash in its name."""
    queries: int = 0
    queried: threading.Event = field(default_factory=threading.Event)

    def vector(self) -> list[dict[str, object]]:
        """Return the series of the next response."""
        self.queries += 1
        self.queried.set()
        count = self.queries * REQUESTS_PER_QUERY
        series: list[dict[str, object]] = []
        for rule in self.cluster.objects_of("DestinationRule").values():
            for subset in rule["spec"].get("subsets", []):
                code = "503" if self.canary_fails and "-" in subset["name"] else "200"
                labels = {
                    "reporter": "source",
                    "destination_service_namespace": self.namespace,
                    "destination_service_name": rule["spec"]["host"],
                    "destination_version": subset["name"],
                    "response_code": code,
                }
                buckets = [("istio_request_duration_milliseconds_bucket", {"le": le}) for le in ("10", "100", "+Inf")]
                for name, further_labels in [("istio_requests_total", {}), *buckets]:
                    metric = {"__name__": name, **labels, **further_labels}
                    series.append({"metric": metric, "value": [0, str(count)]})
        return series


@contextmanager
def serve(prometheus: FakePrometheus) -> Iterator[str]:
    """Run the fake and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = {"resultType": "vector", "result": prometheus.vector()}
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Do not log requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

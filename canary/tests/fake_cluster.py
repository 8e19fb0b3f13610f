"""A fake cluster for the canary controller."""

import json
import sys
from pathlib import Path
from typing import Any

from bookinfo_canary.release_plan import Service
from bookinfo_canary.route_owner import RouteOwner
from bookinfo_canary.routes import VirtualService
from bookinfo_canary.targets import KubectlTarget
from bookinfo_testing import fake_kubernetes
from bookinfo_testing.fake_kubernetes import FakeKubernetes
from bookinfo_testing.network import free_port
from bookinfo_testing.scripts import write_program, write_recording_program

REVIEWS = Service("reviews", "shop")
KUBECTL = Path(sys.executable).with_name("kubectl")
DESTINATION_RULE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "reviews"},
    "spec": {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}]},
}


class Cluster:
    """A fake API server, and the real kubectl that is connected to it."""

    def __init__(self, directory: Path, server: FakeKubernetes, url: str) -> None:
        self.server = server
        self.program = directory / "bin/kubectl"
        self._calls = directory / "calls.jsonl"
        self._config, self._url = directory / "config", url
        self.connect()
        recorder = write_recording_program(directory / "recorder/kubectl", KUBECTL, self._calls)
        options = f"--kubeconfig='{self._config}' --cache-dir='{directory / 'cache'}'"
        write_program(self.program, f"#!/bin/sh\nexec '{recorder}' \"$@\" {options}\n")
        self.target = KubectlTarget("shop", "kind", (str(self.program),))
        server.add(DESTINATION_RULE)

    def connect(self) -> None:
        """Let kubectl reach the server."""
        fake_kubernetes.write_kubeconfig(self._config, self._url, context="kind")

    def disconnect(self) -> None:
        """Let kubectl's connections be refused."""
        fake_kubernetes.write_kubeconfig(self._config, f"http://127.0.0.1:{free_port()}", context="kind")

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call of kubectl."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    def managed_by(self, manager: str, weights: dict[str, int], *further_rules: dict[str, Any]) -> None:
        """Write a VirtualService whose weights are owned by `manager`, with `further_rules` before them."""
        body = VirtualService().manifest(REVIEWS, weights, None)
        body["metadata"] = {**body["metadata"], "labels": {}}
        body["spec"]["http"] = [*further_rules, *body["spec"]["http"]]
        self.server.add(body, manager)

    @property
    def weights(self) -> dict[str, int]:
        return VirtualService().weights(REVIEWS, self.server.objects_of("VirtualService")["reviews"])

    def route(self, *, take_over: bool = False) -> RouteOwner:
        return RouteOwner(self.target, VirtualService(), REVIEWS, take_over=take_over)

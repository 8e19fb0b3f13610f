"""The records and traces of proxies, with and without Telemetry resources."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bookinfo_lab.observe.records import FORMAT
from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate import translate

Json = dict[str, Any]


def telemetry(tracing: str, *, name: str = "t", namespace: str = "default", labels: str = "") -> str:
    selector = f"selector: {{matchLabels: {{{labels}}}}}, " if labels else ""
    return (
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{selector}tracing: [{tracing}]}}\n---\n"
    )


@pytest.fixture
def observed_topology(topology: Topology) -> Topology:
    return replace(topology, collector=("127.64.0.9", 4318), recorded=True)


def rules(text: str) -> Rules:
    return Rules.parse(read_documents(text, "test.yaml")) if text else Rules()


def managers(topology: Topology, text: str, proxy: str) -> dict[str, Json]:
    """The HTTP connection managers of a proxy, by listener."""

    def found() -> Iterator[tuple[str, Json]]:
        for listener in translate(topology, rules(text))[proxy].listeners:
            yield listener["name"], listener["filter_chains"][0]["filters"][0]["typed_config"]

    return dict(found())


def percentages(topology: Topology, text: str, proxy: str = "reviews-v1") -> dict[str, float | None]:
    """The sampling percentage of a sidecar, by listener."""
    found = managers(topology, text, proxy)
    return {
        name: found[name].get("tracing", {}).get("random_sampling", {}).get("value")
        for name in ("inbound_9080", "outbound")
    }


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
"""


def test_nothing_is_recorded_or_traced_without_a_collector(topology: Topology) -> None:
    for proxy in ("reviews-v1", "gateway"):
        for manager in managers(topology, GATEWAY, proxy).values():
            assert not manager.keys() & {"tracing", "access_log"}


@pytest.mark.parametrize(
    ("proxy", "listener", "reporter"),
    [
        ("reviews-v1", "inbound_9080", "destination"),
        ("reviews-v1", "outbound", "source"),
        ("gateway", "gateway_8080", "source"),
    ],
)
def test_every_request_is_recorded_with_the_side_of_the_proxy(
    observed_topology: Topology, proxy: str, listener: str, reporter: str
) -> None:
    (log,) = managers(observed_topology, GATEWAY, proxy)[listener]["access_log"]
    assert log["typed_config"]["path"] == "requests.pipe"
    assert log["typed_config"]["log_format"] == {"json_format": {**FORMAT, "reporter": reporter}}


def test_records_contain_no_header_except_the_host() -> None:
    formats = " ".join(FORMAT.values())
    assert [part for part in formats.split("%") if part.startswith(("REQ", "RESP("))] == [
        "REQ(:METHOD):16",
        "REQ(:AUTHORITY):255",
    ]


def test_every_request_is_sampled_by_default(observed_topology: Topology) -> None:
    assert percentages(observed_topology, "") == {"inbound_9080": 100, "outbound": 100}


def test_most_specific_telemetry_with_a_percentage_applies(observed_topology: Topology) -> None:
    mesh = telemetry("{randomSamplingPercentage: 1}", namespace="istio-system")
    namespace = telemetry("{randomSamplingPercentage: 2}")
    own = telemetry("{randomSamplingPercentage: 3}", name="own", labels="app: reviews")
    assert percentages(observed_topology, mesh)["outbound"] == 1
    assert percentages(observed_topology, mesh + namespace)["outbound"] == 2
    assert percentages(observed_topology, own + mesh + namespace)["outbound"] == 3
    assert percentages(observed_topology, own, "ratings-v1")["outbound"] == 100


def test_unset_field_is_inherited_from_the_more_general_telemetry(observed_topology: Topology) -> None:
    mesh = telemetry("{randomSamplingPercentage: 1}", namespace="istio-system")
    provider = telemetry("{providers: [{name: opentelemetry}]}")
    assert percentages(observed_topology, mesh + provider)["outbound"] == 1


def test_spans_can_be_disabled_and_enabled_for_each_direction(observed_topology: Topology) -> None:
    off = telemetry("{disableSpanReporting: true}", namespace="istio-system")
    on = telemetry("{disableSpanReporting: false}")
    client = telemetry("{match: {mode: CLIENT}, disableSpanReporting: true}")
    assert percentages(observed_topology, off) == {"inbound_9080": None, "outbound": None}
    assert percentages(observed_topology, off + on) == {"inbound_9080": 100, "outbound": 100}
    assert percentages(observed_topology, client) == {"inbound_9080": 100, "outbound": None}


def test_metrics_listener_is_plaintext_without_policies_and_telemetry(observed_topology: Topology) -> None:
    strict = (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\n"
        "spec: {mtls: {mode: STRICT}}\n"
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nothing}\nspec: {}\n"
    )
    config = translate(observed_topology, rules(strict))["reviews-v1"]
    (listener,) = (item for item in config.listeners if item["name"] == "metrics")
    (chain,) = listener["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    assert listener["address"]["socket_address"] == {"address": "127.64.0.11", "port_value": 15020}
    assert "transport_socket" not in chain
    assert not manager.keys() & {"tracing", "access_log"}
    assert [item["name"] for item in manager["http_filters"]] == ["envoy.filters.http.router"]


def test_workload_without_ports_has_no_metrics_listener(observed_topology: Topology) -> None:
    silent = replace(
        observed_topology, workloads=tuple(replace(item, ports={}) for item in observed_topology.workloads)
    )
    assert "metrics" not in managers(silent, "", "reviews-v1")

"""What proxies record and trace, under Telemetry resources and without."""

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
def watched(topology: Topology) -> Topology:
    return replace(topology, collector=("127.64.0.9", 4318), recorded=True)


def rules(text: str) -> Rules:
    return Rules.parse(read_documents(text, "test.yaml")) if text else Rules()


def managers(topology: Topology, text: str, proxy: str) -> dict[str, Json]:
    """The HTTP connection managers of a proxy, by listener."""

    def found() -> Iterator[tuple[str, Json]]:
        for listener in translate(topology, rules(text))[proxy].listeners:
            yield listener["name"], listener["filter_chains"][0]["filters"][0]["typed_config"]

    return dict(found())


def shares(topology: Topology, text: str, proxy: str = "reviews-v1") -> dict[str, float | None]:
    """What a sidecar samples, of what comes in and of what goes out."""
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


def test_where_nobody_collects_nothing_is_recorded_or_traced(topology: Topology) -> None:
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
def test_every_request_is_recorded_from_the_side_on_which_the_proxy_stands(
    watched: Topology, proxy: str, listener: str, reporter: str
) -> None:
    (log,) = managers(watched, GATEWAY, proxy)[listener]["access_log"]
    assert log["typed_config"]["path"] == "requests.pipe"
    assert log["typed_config"]["log_format"] == {"json_format": {**FORMAT, "reporter": reporter}}


def test_no_record_holds_a_header_but_the_host() -> None:
    told = " ".join(FORMAT.values())
    assert [part for part in told.split("%") if part.startswith(("REQ", "RESP("))] == [
        "REQ(:METHOD):16",
        "REQ(:AUTHORITY):255",
    ]


def test_everything_is_sampled_unless_a_telemetry_says_otherwise(watched: Topology) -> None:
    assert shares(watched, "") == {"inbound_9080": 100, "outbound": 100}


def test_the_most_specific_telemetry_that_names_a_share_decides_it(watched: Topology) -> None:
    mesh = telemetry("{randomSamplingPercentage: 1}", namespace="istio-system")
    namespace = telemetry("{randomSamplingPercentage: 2}")
    own = telemetry("{randomSamplingPercentage: 3}", name="own", labels="app: reviews")
    assert shares(watched, mesh)["outbound"] == 1
    assert shares(watched, mesh + namespace)["outbound"] == 2
    assert shares(watched, own + mesh + namespace)["outbound"] == 3
    assert shares(watched, own, "ratings-v1")["outbound"] == 100


def test_what_a_telemetry_leaves_open_the_more_general_one_says(watched: Topology) -> None:
    mesh = telemetry("{randomSamplingPercentage: 1}", namespace="istio-system")
    provider = telemetry("{providers: [{name: opentelemetry}]}")
    assert shares(watched, mesh + provider)["outbound"] == 1


def test_spans_can_be_switched_off_and_on_again_and_for_one_direction(watched: Topology) -> None:
    off = telemetry("{disableSpanReporting: true}", namespace="istio-system")
    on = telemetry("{disableSpanReporting: false}")
    client = telemetry("{match: {mode: CLIENT}, disableSpanReporting: true}")
    assert shares(watched, off) == {"inbound_9080": None, "outbound": None}
    assert shares(watched, off + on) == {"inbound_9080": 100, "outbound": 100}
    assert shares(watched, client) == {"inbound_9080": 100, "outbound": None}


def test_the_scrapers_door_is_plain_and_neither_records_nor_traces_nor_asks_a_policy(watched: Topology) -> None:
    strict = (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\n"
        "spec: {mtls: {mode: STRICT}}\n"
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nothing}\nspec: {}\n"
    )
    config = translate(watched, rules(strict))["reviews-v1"]
    (listener,) = (item for item in config.listeners if item["name"] == "metrics")
    (chain,) = listener["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    assert listener["address"]["socket_address"] == {"address": "127.64.0.11", "port_value": 15020}
    assert "transport_socket" not in chain
    assert not manager.keys() & {"tracing", "access_log"}
    assert [item["name"] for item in manager["http_filters"]] == ["envoy.filters.http.router"]


def test_a_workload_that_serves_nothing_has_no_scrapers_door(watched: Topology) -> None:
    silent = replace(watched, workloads=tuple(replace(item, ports={}) for item in watched.workloads))
    assert "metrics" not in managers(silent, "", "reviews-v1")

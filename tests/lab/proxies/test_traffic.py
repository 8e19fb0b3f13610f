"""What VirtualService and DestinationRule do to requests, on real Envoys. Docstrings name the source in Istio."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

Mesh = Any  # tests/lab/proxies/conftest.py: RunningMesh

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
    - {name: v9, labels: {version: v9}}
---
"""


def routed(http: str, host: str = "reviews") -> str:
    """A VirtualService of the mesh with the given rules (YAML flow), after the subsets."""
    return (
        SUBSETS + "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {{name: {host}}}\nspec: {{hosts: [{host}], http: {http}}}\n"
    )


def to(subset: str = "v1", host: str = "reviews", more: str = "") -> str:
    return f"{{destination: {{host: {host}, subset: {subset}}}{more}}}"


def policy(text: str, host: str = "ratings") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {host}}}\nspec: {{host: {host}, trafficPolicy: {text}}}\n"
    )


def test_requests_of_one_connection_are_balanced_by_default(mesh: Mesh) -> None:
    received = mesh.calls(60, "reviews")

    assert set(received) == {"reviews-v1-1", "reviews-v2-1"}
    assert min(received.values()) > 15


@pytest.mark.parametrize(
    "name", ["reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local"]
)
def test_service_is_reachable_by_each_of_its_names(mesh: Mesh, name: str) -> None:
    assert mesh.call(name).status == 200


@pytest.mark.parametrize(("host", "port"), [("nowhere", 9080), ("example.com", 80), ("reviews", 9081)])
def test_unknown_host_or_port_is_502(mesh: Mesh, host: str, port: int) -> None:
    assert mesh.call(host, port=port).status == 502


def test_weights_share_the_requests(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{route: [{to('v1', more=', weight: 80')}, {to('v2', more=', weight: 20')}]}}]"))

    received = mesh.calls(300, "reviews")

    assert 210 <= received["reviews-v1-1"] <= 270
    assert received["reviews-v1-1"] + received["reviews-v2-1"] == 300


def test_destination_without_weight_receives_no_requests(mesh: Mesh) -> None:
    """Istio: processWeightedDestinations, route.go: weight 0 entries are dropped."""
    mesh.apply(routed(f"[{{route: [{to('v1')}, {to('v2', more=', weight: 1')}]}}]"))

    assert set(mesh.calls(20, "reviews")) == {"reviews-v2-1"}


def test_header_match_is_evaluated_for_each_request_of_a_connection(mesh: Mesh) -> None:
    match = "match: [{headers: {end-user: {exact: jason}}}]"
    mesh.apply(routed(f"[{{{match}, route: [{to('v2')}]}}, {{route: [{to('v1')}]}}]"))

    with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
        received = [connection.get(end_user=user).received["name"] for user in ("jason", "ann", "jason")]

    assert received == ["reviews-v2-1", "reviews-v1-1", "reviews-v2-1"]


def test_source_labels_match_callers_that_have_them(mesh: Mesh) -> None:
    match = "match: [{sourceLabels: {app: ratings}}]"
    mesh.apply(routed(f"[{{{match}, route: [{to('v2')}]}}, {{route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", caller="ratings-v1-1").received["name"] == "reviews-v2-1"
    assert mesh.call("reviews", caller="productpage-v1-1").received["name"] == "reviews-v1-1"


def test_subset_without_endpoints_is_503(mesh: Mesh) -> None:
    """Istio has no fallback. Envoy's response flag is UH, `no healthy upstream`."""
    mesh.apply(routed(f"[{{route: [{to('v9')}]}}]"))

    response = mesh.call("reviews")

    assert (response.status, response.body) == (503, "no healthy upstream")


def test_timeout_limits_all_tries_together(mesh: Mesh) -> None:
    retries = "retries: {attempts: 3, perTryTimeout: 0.2s, retryOn: 5xx}"
    mesh.apply(routed(f"[{{timeout: 0.5s, {retries}, route: [{to('v1')}]}}]"))

    response = mesh.call("reviews", "/sleep/3")

    assert response.status == 504
    assert 0.45 <= response.seconds < 1.5


def test_timeout_is_504(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{timeout: 0.3s, route: [{to('v1')}]}}]"))

    response = mesh.call("reviews", "/sleep/2")

    assert (response.status, response.body) == (504, "upstream request timeout")
    assert 0.28 <= response.seconds < 1.5


def test_no_timeout_overrides_the_default_of_envoy(mesh: Mesh) -> None:
    """Istio: a VirtualService without timeout overrides Envoy's default of 15 s."""
    (route,) = (
        route
        for host in mesh.configs["productpage-v1-1"].routes["http_proxy"]["virtual_hosts"]
        if host["name"] == "reviews.default.svc.cluster.local:9080"
        for route in host["routes"]
    )
    assert route["route"]["timeout"] == "0s"
    assert mesh.call("reviews", "/sleep/0.3").status == 200


def test_503_is_not_retried_by_default(mesh: Mesh) -> None:
    """Istio: retry.DefaultPolicy names retriable-status-codes and lists none."""
    mesh.apply(routed(f"[{{route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", "/status/503").status == 503
    assert mesh.apps["reviews-v1-1"].requests == ["/status/503"]


def test_retry_on_status_code_retries(mesh: Mesh) -> None:
    """Istio: retry.parseRetryOn turns numbers into retriable status codes."""
    mesh.apply(routed(f'[{{retries: {{attempts: 2, retryOn: "503"}}, route: [{to("v1")}]}}]'))

    assert {mesh.call("reviews", "/flaky").status for _ in range(4)} == {200}


def test_attempts_0_is_no_retry(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{retries: {{attempts: 0}}, route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", "/flaky").status in (200, 503)
    assert len(mesh.apps["reviews-v1-1"].requests) == 1


def test_inbound_request_has_the_attempt_count(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{retries: {{attempts: 1, retryOn: 5xx}}, route: [{to('v1')}]}}]"))

    responses = [mesh.call("reviews", "/flaky").received["headers"]["x-envoy-attempt-count"] for _ in range(4)]

    # The last hop is the sidecar of the upstream, which never retries.
    assert set(responses) == {"1"}


def test_delay_precedes_abort_and_abort_is_not_retried(mesh: Mesh) -> None:
    always = "percentage: {value: 100}"
    fault = f"fault: {{delay: {{fixedDelay: 0.3s, {always}}}, abort: {{httpStatus: 418, {always}}}}}"
    mesh.apply(routed(f"[{{{fault}, retries: {{attempts: 3, retryOn: '418'}}, route: [{to('v1')}]}}]"))

    response = mesh.call("reviews")

    assert (response.status, response.body) == (418, "fault filter abort")
    assert 0.28 <= response.seconds < 1.0
    assert mesh.apps["reviews-v1-1"].requests == []


def test_timeout_does_not_include_a_delay_of_the_same_rule(mesh: Mesh) -> None:
    """Envoy: the fault filter precedes the router, which measures the timeout."""
    fault = "fault: {delay: {fixedDelay: 0.6s, percentage: {value: 100}}}"
    mesh.apply(routed(f"[{{timeout: 0.2s, {fault}, route: [{to('v1')}]}}]"))

    response = mesh.call("reviews")

    assert response.status == 200
    assert response.seconds >= 0.58


def test_fault_without_percentage_applies_to_no_request(mesh: Mesh) -> None:
    """Istio: TranslateFault reads a missing percentage as 0."""
    mesh.apply(routed(f"[{{fault: {{abort: {{httpStatus: 500}}}}, route: [{to('v1')}]}}]"))

    assert set(mesh.calls(20, "reviews")) == {"reviews-v1-1"}


def test_mirror_without_percentage_receives_every_request(mesh: Mesh) -> None:
    """Istio: MirrorPercent. The mirrored request keeps its host."""
    mesh.apply(routed(f"[{{route: [{to('v1')}], mirror: {{host: reviews, subset: v2}}}}]"))

    assert set(mesh.calls(20, "reviews", "/status/200")) == {"reviews-v1-1"}
    assert _within(lambda: len(mesh.apps["reviews-v2-1"].hosts) == 20)
    assert set(mesh.apps["reviews-v2-1"].hosts) == set(mesh.apps["reviews-v1-1"].hosts), "no -shadow suffix is appended"


def test_mirror_with_0_percent_receives_no_request(mesh: Mesh) -> None:
    mirror = "mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 0}"
    mesh.apply(routed(f"[{{route: [{to('v1')}], {mirror}}}]"))

    mesh.calls(10, "reviews")

    assert mesh.apps["reviews-v2-1"].requests == []


def test_uri_and_authority_are_rewritten(mesh: Mesh) -> None:
    match = "match: [{uri: {prefix: /old}}]"
    mesh.apply(routed(f"[{{{match}, rewrite: {{uri: /new, authority: other.example}}, route: [{to('v1')}]}}]"))

    received = mesh.call("reviews", "/old/1?q=2").received

    assert (received["path"], received["headers"]["host"]) == ("/new/1?q=2", "other.example")


def test_exact_match_is_rewritten_completely(mesh: Mesh) -> None:
    match = "match: [{uri: {exact: /old}}]"
    mesh.apply(routed(f"[{{{match}, rewrite: {{uri: /new}}, route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", "/old").received["path"] == "/new"


def test_redirect_keeps_query_and_host(mesh: Mesh) -> None:
    mesh.apply(routed("[{redirect: {uri: /there}}]"))

    response = mesh.call("reviews", "/here?q=1")

    assert (response.status, response.headers["location"]) == (301, "http://reviews:9080/there?q=1")


def test_direct_response_needs_no_endpoint(mesh: Mesh) -> None:
    mesh.apply(routed("[{directResponse: {status: 503, body: {string: closed}}}]"))

    response = mesh.call("reviews")

    assert (response.status, response.body) == (503, "closed")


def test_headers_are_set_added_and_removed(mesh: Mesh) -> None:
    changes = "headers: {request: {set: {x-a: '1'}, remove: [x-b]}, response: {add: {x-c: '2'}}}"
    mesh.apply(routed(f"[{{{changes}, route: [{to('v1')}]}}]"))

    response = mesh.call("reviews", x_a="0", x_b="0")

    assert response.received["headers"]["x-a"] == "1"
    assert "x-b" not in response.received["headers"]
    assert response.headers["x-c"] == "2"


def test_preflight_of_allowed_origin_gets_response_and_others_are_forwarded(mesh: Mesh) -> None:
    """Istio: TranslateCORSPolicy. The default of unmatchedPreflights is FORWARD."""
    cors = "corsPolicy: {allowOrigins: [{exact: 'http://a.example'}], allowMethods: [GET], maxAge: 24h}"
    mesh.apply(routed(f"[{{{cors}, route: [{to('v1')}]}}]"))

    own = mesh.call("reviews", method="OPTIONS", origin="http://a.example", access_control_request_method="GET")
    other = mesh.call("reviews", method="OPTIONS", origin="http://b.example", access_control_request_method="GET")

    assert own.headers["access-control-allow-origin"] == "http://a.example"
    assert own.headers["access-control-max-age"] == "86400"
    assert "access-control-allow-origin" not in other.headers
    assert mesh.apps["reviews-v1-1"].requests == ["/"]


def test_consistent_hash_sends_each_user_to_one_endpoint(mesh: Mesh) -> None:
    mesh.apply(policy("{loadBalancer: {consistentHash: {httpHeaderName: end-user}}}"))

    homes = [mesh.calls(10, "ratings", end_user=user) for user in map(str, range(12))]

    assert all(len(home) == 1 for home in homes)
    assert {name for home in homes for name in home} == {"ratings-v1-1", "ratings-v1-2"}


def test_connection_pool_overflow_is_503_at_once(mesh: Mesh) -> None:
    limits = "connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}"
    mesh.apply(policy(f"{{{limits}}}"))

    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda _: mesh.call("ratings", "/sleep/0.5"), range(6)))

    overflown = [response for response in responses if response.status == 503]
    assert 3 <= len(overflown) <= 5
    assert {response.headers["x-envoy-overloaded"] for response in overflown} == {"true"}
    assert all(response.seconds < 0.4 for response in overflown)
    counted = mesh.admin("productpage-v1-1", "/stats?filter=ratings.*upstream_rq_pending_overflow")
    assert int(counted.rpartition(":")[2]) == len(overflown)


def test_failing_endpoint_is_ejected_and_returns(mesh: Mesh) -> None:
    times = "interval: 0.1s, baseEjectionTime: 0.5s"
    mesh.apply(policy(f"{{outlierDetection: {{consecutive5xxErrors: 3, {times}, maxEjectionPercent: 100}}}}"))
    mesh.apps["ratings-v1-1"].always = 500

    received = mesh.calls(60, "ratings")
    assert 3 <= received["500"] <= 9
    assert received["ratings-v1-2"] == 60 - received["500"]

    mesh.apps["ratings-v1-1"].always = None
    assert _within(lambda: "ratings-v1-1" in mesh.calls(10, "ratings"))


def test_consecutive_error_count_of_0_disables_ejection(mesh: Mesh) -> None:
    """Istio: applyOutlierDetection. Envoy's default of 5 applies only to a missing count."""
    mesh.apply(policy("{outlierDetection: {consecutive5xxErrors: 0, interval: 0.1s, maxEjectionPercent: 100}}"))
    mesh.apps["ratings-v1-1"].always = 500

    assert mesh.calls(60, "ratings")["500"] > 15


def test_no_request_is_lost_during_20_applies(mesh: Mesh) -> None:
    """New clusters are delivered before the routes that name them; old clusters are deleted after them."""
    failures: list[int] = []
    done = False

    def load() -> int:
        count = 0
        with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
            while not done:
                status = connection.get().status
                count += 1
                if status != 200:
                    failures.append(status)
        return count

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load) for _ in range(3)]
        for number in range(20):
            mesh.apply(routed(f"[{{route: [{to(('v1', 'v2')[number % 2])}]}}]") if number % 3 else "")
        done = True
        total = sum(item.result() for item in loads)

    assert failures == []
    assert total > 100


def test_no_request_is_lost_while_endpoints_change(mesh: Mesh) -> None:
    """A cluster whose endpoints change is replaced. Requests in flight complete on the old one."""
    whole = mesh.topology
    failures: list[int] = []
    done = False

    def load() -> None:
        with contextlib.closing(mesh.connect("productpage-v1-1", "ratings")) as connection:
            while not done:
                status = connection.get("/sleep/0.05").status
                if status != 200:
                    failures.append(status)

    try:
        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            for number in range(10):
                absent = f"ratings-v1-{number % 2 + 1}"
                mesh.topology = replace(
                    whole,
                    workloads=tuple(replace(item, ready=item.name != absent) for item in whole.workloads),
                )
                mesh.apply("")
                time.sleep(0.1)
            done = True
            for item in loads:
                item.result()
    finally:
        mesh.topology = whole

    assert failures == []


def _within(condition: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

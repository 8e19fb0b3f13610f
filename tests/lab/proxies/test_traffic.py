"""What VirtualService and DestinationRule do to requests, on real Envoys. Each test says where Istio decides it."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

Mesh = Any  # tests/lab/proxies/conftest.py: MeshOnTheWire

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


def test_without_a_rule_every_instance_takes_its_part_of_one_connection(mesh: Mesh) -> None:
    seen = mesh.calls(60, "reviews")

    assert set(seen) == {"reviews-v1-1", "reviews-v2-1"}
    assert min(seen.values()) > 15


@pytest.mark.parametrize(
    "name", ["reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local"]
)
def test_a_service_is_called_by_each_of_its_names(mesh: Mesh, name: str) -> None:
    assert mesh.call(name).status == 200


@pytest.mark.parametrize(("host", "port"), [("nowhere", 9080), ("example.com", 80), ("reviews", 9081)])
def test_a_host_or_port_that_the_registry_does_not_know_is_502(mesh: Mesh, host: str, port: int) -> None:
    assert mesh.call(host, port=port).status == 502


def test_weights_share_the_requests(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{route: [{to('v1', more=', weight: 80')}, {to('v2', more=', weight: 20')}]}}]"))

    seen = mesh.calls(300, "reviews")

    assert 210 <= seen["reviews-v1-1"] <= 270
    assert seen["reviews-v1-1"] + seen["reviews-v2-1"] == 300


def test_a_destination_without_weight_beside_one_with_weight_gets_nothing(mesh: Mesh) -> None:
    """Istio: processWeightedDestinations, route.go: weight 0 entries are dropped."""
    mesh.apply(routed(f"[{{route: [{to('v1')}, {to('v2', more=', weight: 1')}]}}]"))

    assert set(mesh.calls(20, "reviews")) == {"reviews-v2-1"}


def test_a_header_decides_per_request_on_one_connection(mesh: Mesh) -> None:
    match = "match: [{headers: {end-user: {exact: jason}}}]"
    mesh.apply(routed(f"[{{{match}, route: [{to('v2')}]}}, {{route: [{to('v1')}]}}]"))

    with contextlib.closing(mesh.connect("productpage-v1-1", "reviews")) as connection:
        seen = [connection.get(end_user=user).seen["name"] for user in ("jason", "ann", "jason")]

    assert seen == ["reviews-v2-1", "reviews-v1-1", "reviews-v2-1"]


def test_source_labels_hold_for_callers_that_have_them(mesh: Mesh) -> None:
    match = "match: [{sourceLabels: {app: ratings}}]"
    mesh.apply(routed(f"[{{{match}, route: [{to('v2')}]}}, {{route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", caller="ratings-v1-1").seen["name"] == "reviews-v2-1"
    assert mesh.call("reviews", caller="productpage-v1-1").seen["name"] == "reviews-v1-1"


def test_a_subset_that_no_instance_has_is_503_and_falls_back_to_nothing(mesh: Mesh) -> None:
    """Istio: there is no fallback; Envoy says UH, `no healthy upstream`."""
    mesh.apply(routed(f"[{{route: [{to('v9')}]}}]"))

    answer = mesh.call("reviews")

    assert (answer.status, answer.body) == (503, "no healthy upstream")


def test_a_timeout_covers_all_tries_together(mesh: Mesh) -> None:
    retries = "retries: {attempts: 3, perTryTimeout: 0.2s, retryOn: 5xx}"
    mesh.apply(routed(f"[{{timeout: 0.5s, {retries}, route: [{to('v1')}]}}]"))

    answer = mesh.call("reviews", "/sleep/3")

    assert answer.status == 504
    assert 0.45 <= answer.seconds < 1.5


def test_a_timeout_is_504(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{timeout: 0.3s, route: [{to('v1')}]}}]"))

    answer = mesh.call("reviews", "/sleep/2")

    assert (answer.status, answer.body) == (504, "upstream request timeout")
    assert 0.28 <= answer.seconds < 1.5


def test_without_a_timeout_a_request_may_take_longer_than_envoys_own_limit(mesh: Mesh) -> None:
    """Istio: VirtualService without timeout is no timeout; Envoy's 15 s are overridden."""
    (route,) = (
        route
        for host in mesh.configs["productpage-v1-1"].routes["http_proxy"]["virtual_hosts"]
        if host["name"] == "reviews.default.svc.cluster.local:9080"
        for route in host["routes"]
    )
    assert route["route"]["timeout"] == "0s"
    assert mesh.call("reviews", "/sleep/0.3").status == 200


def test_a_plain_503_is_not_retried_by_default(mesh: Mesh) -> None:
    """Istio: retry.DefaultPolicy names retriable-status-codes and lists none."""
    mesh.apply(routed(f"[{{route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", "/status/503").status == 503
    assert mesh.apps["reviews-v1-1"].requests == ["/status/503"]


def test_retry_on_a_status_code_tries_again(mesh: Mesh) -> None:
    """Istio: retry.parseRetryOn turns numbers into retriable status codes."""
    mesh.apply(routed(f'[{{retries: {{attempts: 2, retryOn: "503"}}, route: [{to("v1")}]}}]'))

    assert {mesh.call("reviews", "/flaky").status for _ in range(4)} == {200}


def test_attempts_0_is_no_retry(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{retries: {{attempts: 0}}, route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", "/flaky").status in (200, 503)
    assert len(mesh.apps["reviews-v1-1"].requests) == 1


def test_a_request_tells_which_attempt_it_is(mesh: Mesh) -> None:
    mesh.apply(routed(f"[{{retries: {{attempts: 1, retryOn: 5xx}}, route: [{to('v1')}]}}]"))

    answers = [mesh.call("reviews", "/flaky").seen["headers"]["x-envoy-attempt-count"] for _ in range(4)]

    # The last hop is the called side's own sidecar, which always makes its first.
    assert set(answers) == {"1"}


def test_a_delay_and_an_abort_happen_in_that_order_and_the_abort_is_not_retried(mesh: Mesh) -> None:
    always = "percentage: {value: 100}"
    fault = f"fault: {{delay: {{fixedDelay: 0.3s, {always}}}, abort: {{httpStatus: 418, {always}}}}}"
    mesh.apply(routed(f"[{{{fault}, retries: {{attempts: 3, retryOn: '418'}}, route: [{to('v1')}]}}]"))

    answer = mesh.call("reviews")

    assert (answer.status, answer.body) == (418, "fault filter abort")
    assert 0.28 <= answer.seconds < 1.0
    assert mesh.apps["reviews-v1-1"].requests == []


def test_a_timeout_does_not_cover_a_delay_of_the_same_rule(mesh: Mesh) -> None:
    """Envoy: the fault filter comes before the router, which keeps the time."""
    fault = "fault: {delay: {fixedDelay: 0.6s, percentage: {value: 100}}}"
    mesh.apply(routed(f"[{{timeout: 0.2s, {fault}, route: [{to('v1')}]}}]"))

    answer = mesh.call("reviews")

    assert answer.status == 200
    assert answer.seconds >= 0.58


def test_a_fault_without_a_percentage_happens_to_nobody(mesh: Mesh) -> None:
    """Istio: TranslateFault reads a missing percentage as 0."""
    mesh.apply(routed(f"[{{fault: {{abort: {{httpStatus: 500}}}}, route: [{to('v1')}]}}]"))

    assert set(mesh.calls(20, "reviews")) == {"reviews-v1-1"}


def test_a_mirror_without_a_percentage_gets_everything_and_its_answers_are_dropped(mesh: Mesh) -> None:
    """Istio: MirrorPercent. The mirrored request keeps its host."""
    mesh.apply(routed(f"[{{route: [{to('v1')}], mirror: {{host: reviews, subset: v2}}}}]"))

    assert set(mesh.calls(20, "reviews", "/status/200")) == {"reviews-v1-1"}
    assert _within(lambda: len(mesh.apps["reviews-v2-1"].hosts) == 20)
    assert set(mesh.apps["reviews-v2-1"].hosts) == set(mesh.apps["reviews-v1-1"].hosts), "no -shadow is put behind it"


def test_a_mirror_of_0_percent_gets_nothing(mesh: Mesh) -> None:
    mirror = "mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 0}"
    mesh.apply(routed(f"[{{route: [{to('v1')}], {mirror}}}]"))

    mesh.calls(10, "reviews")

    assert mesh.apps["reviews-v2-1"].requests == []


def test_uri_and_authority_are_rewritten(mesh: Mesh) -> None:
    match = "match: [{uri: {prefix: /old}}]"
    mesh.apply(routed(f"[{{{match}, rewrite: {{uri: /new, authority: other.example}}, route: [{to('v1')}]}}]"))

    seen = mesh.call("reviews", "/old/1?q=2").seen

    assert (seen["path"], seen["headers"]["host"]) == ("/new/1?q=2", "other.example")


def test_an_exact_match_is_rewritten_whole(mesh: Mesh) -> None:
    match = "match: [{uri: {exact: /old}}]"
    mesh.apply(routed(f"[{{{match}, rewrite: {{uri: /new}}, route: [{to('v1')}]}}]"))

    assert mesh.call("reviews", "/old").seen["path"] == "/new"


def test_a_redirect_keeps_the_query_and_the_host(mesh: Mesh) -> None:
    mesh.apply(routed("[{redirect: {uri: /there}}]"))

    answer = mesh.call("reviews", "/here?q=1")

    assert (answer.status, answer.headers["location"]) == (301, "http://reviews:9080/there?q=1")


def test_a_direct_response_needs_no_instance(mesh: Mesh) -> None:
    mesh.apply(routed("[{directResponse: {status: 503, body: {string: closed}}}]"))

    answer = mesh.call("reviews")

    assert (answer.status, answer.body) == (503, "closed")


def test_headers_are_set_added_and_removed(mesh: Mesh) -> None:
    changes = "headers: {request: {set: {x-a: '1'}, remove: [x-b]}, response: {add: {x-c: '2'}}}"
    mesh.apply(routed(f"[{{{changes}, route: [{to('v1')}]}}]"))

    answer = mesh.call("reviews", x_a="0", x_b="0")

    assert answer.seen["headers"]["x-a"] == "1"
    assert "x-b" not in answer.seen["headers"]
    assert answer.headers["x-c"] == "2"


def test_a_preflight_is_answered_for_an_allowed_origin_and_goes_on_for_another(mesh: Mesh) -> None:
    """Istio: TranslateCORSPolicy; unmatchedPreflights is FORWARD by default."""
    cors = "corsPolicy: {allowOrigins: [{exact: 'http://a.example'}], allowMethods: [GET], maxAge: 24h}"
    mesh.apply(routed(f"[{{{cors}, route: [{to('v1')}]}}]"))

    own = mesh.call("reviews", method="OPTIONS", origin="http://a.example", access_control_request_method="GET")
    other = mesh.call("reviews", method="OPTIONS", origin="http://b.example", access_control_request_method="GET")

    assert own.headers["access-control-allow-origin"] == "http://a.example"
    assert own.headers["access-control-max-age"] == "86400"
    assert "access-control-allow-origin" not in other.headers
    assert mesh.apps["reviews-v1-1"].requests == ["/"]


def test_a_consistent_hash_keeps_each_user_at_one_instance(mesh: Mesh) -> None:
    mesh.apply(policy("{loadBalancer: {consistentHash: {httpHeaderName: end-user}}}"))

    homes = [mesh.calls(10, "ratings", end_user=user) for user in map(str, range(12))]

    assert all(len(home) == 1 for home in homes)
    assert {name for home in homes for name in home} == {"ratings-v1-1", "ratings-v1-2"}


def test_what_does_not_fit_a_connection_pool_is_503_at_once(mesh: Mesh) -> None:
    limits = "connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}"
    mesh.apply(policy(f"{{{limits}}}"))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: mesh.call("ratings", "/sleep/0.5"), range(6)))

    overflown = [answer for answer in answers if answer.status == 503]
    assert 3 <= len(overflown) <= 5
    assert {answer.headers["x-envoy-overloaded"] for answer in overflown} == {"true"}
    assert all(answer.seconds < 0.4 for answer in overflown)
    counted = mesh.admin("productpage-v1-1", "/stats?filter=ratings.*upstream_rq_pending_overflow")
    assert int(counted.rpartition(":")[2]) == len(overflown)


def test_a_sick_instance_is_ejected_and_comes_back(mesh: Mesh) -> None:
    times = "interval: 0.1s, baseEjectionTime: 0.5s"
    mesh.apply(policy(f"{{outlierDetection: {{consecutive5xxErrors: 3, {times}, maxEjectionPercent: 100}}}}"))
    mesh.apps["ratings-v1-1"].always = 500

    seen = mesh.calls(60, "ratings")
    assert 3 <= seen["500"] <= 9
    assert seen["ratings-v1-2"] == 60 - seen["500"]

    mesh.apps["ratings-v1-1"].always = None
    assert _within(lambda: "ratings-v1-1" in mesh.calls(10, "ratings"))


def test_a_consecutive_error_count_of_0_switches_ejection_off(mesh: Mesh) -> None:
    """Istio: applyOutlierDetection; Envoy's own default of 5 holds only for an absent count."""
    mesh.apply(policy("{outlierDetection: {consecutive5xxErrors: 0, interval: 0.1s, maxEjectionPercent: 100}}"))
    mesh.apps["ratings-v1-1"].always = 500

    assert mesh.calls(60, "ratings")["500"] > 15


def test_20_applies_under_load_lose_no_request(mesh: Mesh) -> None:
    """New clusters go before the routes that name them, old ones after."""
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


def test_instances_come_and_go_under_load_without_a_lost_request(mesh: Mesh) -> None:
    """A cluster whose endpoints change is replaced; what is in flight on the old one ends there."""
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

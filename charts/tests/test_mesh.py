"""The mesh: ingress, subsets, weights, mesh labels, authorization policies, and the test pods."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import (
    CHART,
    GRAPH,
    ROOT,
    SERVICES,
    Helm,
    Object,
    Objects,
    Overlay,
    is_test,
    named,
    of_kind,
    pods,
    released,
)

MODES = ("istio", "gateway-api", "sidecar", "gateway-routes", "ambient", "ambient-routes", "ambient-plain")
MESH_LABELS = {"sidecar": {"sidecar.istio.io/inject": "true"}, "ambient": {"istio.io/dataplane-mode": "ambient"}}


def manifests(directory: str, file: str) -> Objects:
    """Return the objects of a file under istio/."""
    return [item for item in yaml.safe_load_all((ROOT / "istio" / directory / file).read_text()) if item]


def hosts(item: Object) -> list[str]:
    """Return the hosts of a VirtualService or HTTPRoute: names of Services, or host names of the gateway."""
    if item["kind"] == "VirtualService":
        names: list[str] = item["spec"]["hosts"]
        return names
    parents = [parent["name"] for parent in item["spec"]["parentRefs"] if parent.get("kind") == "Service"]
    return parents or item["spec"].get("hostnames", ["*"])


# --- ingress ----------------------------------------------------------------------------------------------------------


def test_istio_gateway_equals_the_manifest_of_the_repository(overlay: Overlay) -> None:
    rendered = overlay("istio")
    for own in manifests("gateway", "bookinfo-gateway.yaml"):
        assert named(rendered, own["kind"], own["metadata"]["name"])["spec"] == own["spec"]


def test_virtual_service_http_route_and_ingress_serve_the_same_paths(overlay: Overlay) -> None:
    (rule,) = named(overlay("istio"), "VirtualService", "bookinfo")["spec"]["http"]
    by_istio = {(kind, path) for match in rule["match"] for kind, path in match["uri"].items()}
    (rule,) = named(overlay("gateway-api"), "HTTPRoute", "bookinfo")["spec"]["rules"]
    by_gateway_api = {(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]}
    first, *others = named(overlay("ingress"), "Ingress", "bookinfo")["spec"]["rules"]
    by_ingress = {(path["pathType"], path["path"]) for path in first["http"]["paths"]}
    assert {({"exact": "Exact", "prefix": "PathPrefix"}[kind], path) for kind, path in by_istio} == by_gateway_api
    assert {({"exact": "Exact", "prefix": "Prefix"}[kind], path) for kind, path in by_istio} == by_ingress
    assert [other["http"] for other in others] == [first["http"]]


def test_ingress_serves_only_the_configured_hosts(overlay: Overlay) -> None:
    gateway = named(overlay("sidecar"), "Gateway", "bookinfo-gateway")["spec"]
    assert gateway["selector"] == {"istio": "ingress"}
    assert [server["hosts"] for server in gateway["servers"]] == [["shop.example"]]
    assert hosts(named(overlay("sidecar"), "VirtualService", "bookinfo")) == ["shop.example"]
    assert hosts(named(overlay("gateway-routes"), "HTTPRoute", "bookinfo")) == ["shop.example"]
    ingress = named(overlay("ingress"), "Ingress", "bookinfo")["spec"]
    assert [rule["host"] for rule in ingress["rules"]] == ["shop.example", "www.shop.example"]
    assert ingress["tls"][0]["hosts"] == ["shop.example", "www.shop.example"]


def test_gateway_with_a_tls_secret_serves_https(overlay: Overlay) -> None:
    (server,) = named(overlay("sidecar"), "Gateway", "bookinfo-gateway")["spec"]["servers"]
    assert server["port"] == {"number": 8443, "name": "https", "protocol": "HTTPS"}
    assert server["tls"] == {"mode": "SIMPLE", "credentialName": "shop-tls"}
    (listener,) = named(overlay("gateway-routes"), "Gateway", "bookinfo-gateway")["spec"]["listeners"]
    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["tls"]["certificateRefs"] == [{"name": "shop-tls"}]
    assert named(overlay("ingress"), "Ingress", "bookinfo")["spec"]["tls"][0]["secretName"] == "shop-tls"


def test_no_host_is_routed_by_both_apis(objects: Objects) -> None:
    by_istio = {host for item in of_kind(objects, "VirtualService") for host in hosts(item)}
    by_gateway_api = {host for item in of_kind(objects, "HTTPRoute") for host in hosts(item)}
    assert not by_istio & by_gateway_api
    assert not (by_istio and by_gateway_api)


# --- versions ---------------------------------------------------------------------------------------------------------


def test_each_version_is_a_subset(overlay: Overlay) -> None:
    for name in ("istio", "sidecar"):
        rendered = overlay(name)
        for service in SERVICES:
            rule = named(rendered, "DestinationRule", service)["spec"]
            versions = [
                item["metadata"]["labels"]["version"]
                for item in of_kind(rendered, "Deployment")
                if item["metadata"]["labels"]["app"] == service
            ]
            assert rule["subsets"] == [{"name": version, "labels": {"version": version}} for version in versions]


def test_traffic_policy_is_added_to_the_destination_rules_of_the_repository(overlay: Overlay) -> None:
    policy = named(overlay("sidecar"), "DestinationRule", "ratings")["spec"]["trafficPolicy"]
    assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
    assert policy["outlierDetection"]["consecutive5xxErrors"] == 5


def test_weights_render_the_canary_virtual_service(overlay: Overlay) -> None:
    (canary,) = manifests("canary", "reviews-90-10.yaml")
    assert named(overlay("sidecar"), "VirtualService", "reviews")["spec"] == canary["spec"]


def test_weights_render_an_equivalent_http_route(overlay: Overlay) -> None:
    spec = named(overlay("ambient-routes"), "HTTPRoute", "reviews")["spec"]
    assert spec["parentRefs"] == [{"group": "", "kind": "Service", "name": "reviews", "port": 9080}]
    (rule,) = spec["rules"]
    assert [(ref["name"], ref["weight"]) for ref in rule["backendRefs"]] == [("reviews-v1", 90), ("reviews-v2", 10)]
    for ref in rule["backendRefs"]:
        assert named(overlay("ambient-routes"), "Service", ref["name"])


def test_release_with_a_managed_canary_contains_no_weights(overlay: Overlay) -> None:
    assert '"weight"' not in json.dumps(overlay("canary"))
    assert {item["metadata"]["name"] for item in of_kind(overlay("canary"), "VirtualService")} == {"bookinfo"}


# --- mesh labels and annotations --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mode"), [("istio", "sidecar"), ("gateway-api", "sidecar"), ("ambient", "ambient")])
def test_mesh_overlay_adds_every_pod_to_the_mesh(overlay: Overlay, name: str, mode: str) -> None:
    for deployment in of_kind(overlay(name), "Deployment"):
        assert deployment["spec"]["template"]["metadata"]["labels"].items() >= MESH_LABELS[mode].items()


def test_release_without_a_mesh_contains_no_istio_objects(helm: Helm, overlay: Overlay) -> None:
    for name in ("default", "production", "ingress"):
        rendered = overlay(name)
        assert not any("istio.io" in item["apiVersion"] for item in rendered)
        for _, pod in pods(of_kind(rendered, "Deployment")):
            assert "istio" not in json.dumps(pod)


def test_pods_wait_for_their_proxy_only_if_sidecars_are_ordinary_containers(
    objects: Objects, values_file: Path
) -> None:
    legacy = values_file.stem == "sidecar-values"
    for deployment in of_kind(objects, "Deployment"):
        config = deployment["spec"]["template"]["metadata"]["annotations"].get("proxy.istio.io/config")
        assert bool(config) is legacy
        if config:
            assert yaml.safe_load(config)["holdApplicationUntilProxyStarts"] is True


@pytest.mark.parametrize(("drain_seconds", "total_seconds"), [(2, 7), (0.5, 5.5)])
def test_proxy_in_an_ordinary_container_drains_longer_than_its_service(
    helm: Helm, drain_seconds: float, total_seconds: float
) -> None:
    rendered = helm.render({"shutdown": {"drainSeconds": drain_seconds}}, CHART / "ci/sidecar-values.yaml")
    annotations = named(rendered, "Deployment", "reviews-v1")["spec"]["template"]["metadata"]["annotations"]
    settings = yaml.safe_load(annotations["proxy.istio.io/config"])["proxyMetadata"]
    assert settings == {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true", "MINIMUM_DRAIN_DURATION": f"{total_seconds:g}s"}


def test_only_a_sidecar_in_an_ordinary_container_is_stopped_by_its_test_pod(
    objects: Objects, values_file: Path
) -> None:
    pods_that_stop_their_sidecar = {
        item["metadata"]["name"]
        for item in of_kind(objects, "Pod")
        if any(each["name"] == "STOP_SIDECAR" for each in item["spec"]["containers"][0]["env"])
    }
    assert pods_that_stop_their_sidecar == ({"bookinfo-test-edges"} if values_file.stem == "sidecar-values" else set())


def test_test_pods_have_the_node_selector_and_tolerations_of_the_services(overlay: Overlay) -> None:
    rendered = overlay("pods")
    expected = named(rendered, "Deployment", "reviews-v1")["spec"]["template"]["spec"]
    for item in of_kind(rendered, "Pod"):
        for key in ("nodeSelector", "tolerations"):
            assert item["spec"][key] == expected[key]


def test_revision_label_is_on_every_pod(overlay: Overlay) -> None:
    for deployment in of_kind(overlay("sidecar"), "Deployment"):
        assert deployment["spec"]["template"]["metadata"]["labels"]["istio.io/rev"] == "canary"


def test_revision_label_is_on_istio_gateways_and_waypoint_only(helm: Helm) -> None:
    ambient = {"mesh": {"mode": "ambient", "revision": "canary"}, "waypoint": {"enabled": True}}
    gateways = of_kind(helm.render({**ambient, "gatewayAPI": {"enabled": True}}), "Gateway")
    assert [gateway["metadata"]["labels"]["istio.io/rev"] for gateway in gateways] == ["canary", "canary"]
    other = {"enabled": True, "className": "other", "service": "edge"}
    has_label = {
        gateway["metadata"]["name"]: "istio.io/rev" in gateway["metadata"]["labels"]
        for gateway in of_kind(helm.render({**ambient, "gatewayAPI": other}), "Gateway")
    }
    assert has_label == {"bookinfo-gateway": False, "bookinfo-waypoint": True}


@pytest.mark.parametrize("hosts", [["*"], ["shop.example", "*"]])
def test_asterisk_among_the_hosts_matches_every_host(helm: Helm, hosts: list[str]) -> None:
    settings = {"enabled": True, "hosts": hosts}
    route = named(helm.render({"gatewayAPI": settings}), "HTTPRoute", "bookinfo")
    assert "hostnames" not in route["spec"]
    ingress = named(helm.render({"ingress": {**settings, "tlsSecret": "shop"}}), "Ingress", "bookinfo")["spec"]
    (rule,) = ingress["rules"]
    assert "host" not in rule
    assert ingress["tls"] == [{"secretName": "shop"}]


@pytest.mark.parametrize(
    ("settings", "port"),
    [({}, 8080), ({"tlsSecret": "shop"}, 8443), ({"port": 8080, "tlsSecret": "shop"}, 8080), ({"port": 80}, 80)],
    ids=str,
)
def test_istio_gateway_port_defaults_to_the_target_port_of_istios_service(
    helm: Helm, settings: dict[str, Any], port: int
) -> None:
    gateway = named(helm.render({"istioGateway": {"enabled": True, **settings}}), "Gateway", "bookinfo-gateway")
    (server,) = gateway["spec"]["servers"]
    assert server["port"]["number"] == port


def test_services_have_the_waypoint_labels(overlay: Overlay) -> None:
    rendered = overlay("ambient")
    waypoint = named(rendered, "Gateway", "bookinfo-waypoint")
    assert waypoint["spec"]["gatewayClassName"] == "istio-waypoint"
    assert waypoint["spec"]["listeners"][0]["protocol"] == "HBONE"
    for service in SERVICES:
        labels = named(rendered, "Service", service)["metadata"]["labels"]
        assert labels["istio.io/use-waypoint"] == "bookinfo-waypoint"
        # Without this label, requests from a gateway bypass the waypoint and its policies.
        assert ("istio.io/ingress-use-waypoint" in labels) == (service == "productpage")


def test_telemetry_uses_the_manifest_with_the_configured_provider_and_sampling(overlay: Overlay) -> None:
    spec = named(overlay("sidecar"), "Telemetry", "bookinfo")["spec"]
    (own,) = manifests("telemetry", "tracing-and-access-log.yaml")
    assert spec["accessLogging"] == own["spec"]["accessLogging"]
    assert spec["tracing"] == [{"providers": [{"name": "otel"}], "randomSamplingPercentage": 5}]


def test_mutual_tls_is_strict_by_default(overlay: Overlay) -> None:
    (own,) = manifests("security", "mtls-strict.yaml")
    assert named(overlay("istio"), "PeerAuthentication", "default")["spec"] == own["spec"]
    assert named(overlay("gateway-routes"), "PeerAuthentication", "default")["spec"] == {"mtls": {"mode": "PERMISSIVE"}}


# --- authorization policies -------------------------------------------------------------------------------------------


def policies_at(objects: Objects, service: str, *, layer: int) -> Objects:
    """Return the policies that the pods of a Service (layer 4) or its waypoint (layer 7) enforce."""
    policies = []
    for policy in of_kind(objects, "AuthorizationPolicy"):
        spec = policy["spec"]
        targets = [target["name"] for target in spec.get("targetRefs", []) if target["kind"] == "Service"]
        selected = "targetRefs" not in spec and spec.get("selector", {}).get("matchLabels", {"app": service}) == {
            "app": service
        }
        if service in targets if layer == 7 else selected:
            policies.append(policy)
    return policies


def policies_allow(policies: Objects, principal: str, method: str, path: str) -> bool:
    """Return Istio's decision: if there are policies, at least one rule must match. Otherwise everything is allowed."""
    return not policies or any(matches(rule, principal, method, path) for policy in policies for rule in rules(policy))


def rules(policy: Object) -> Iterator[Object]:
    yield from policy["spec"].get("rules", [])


def matches(rule: Object, principal: str, method: str, path: str) -> bool:
    sources = [source["source"]["principals"] for source in rule.get("from", [])]
    operations = [operation["operation"] for operation in rule.get("to", [])]
    from_matches = not sources or any(principal in principals for principals in sources)
    to_matches = not operations or any(
        method in operation.get("methods", [method]) and path in operation.get("paths", [path])
        for operation in operations
    )
    return from_matches and to_matches


def allowed(objects: Objects, caller: str, service: str, method: str, path: str = "/") -> bool:
    """Return whether the mesh allows a call to a Service. A waypoint decides before the pods do."""
    classes = {item["spec"].get("gatewayClassName") for item in of_kind(objects, "Gateway")}
    at_pods = policies_at(objects, service, layer=4)
    if "istio-waypoint" not in classes:
        return policies_allow(at_pods, caller, method, path)
    waypoint = identity(objects, "bookinfo-waypoint")
    return policies_allow(policies_at(objects, service, layer=7), caller, method, path) and policies_allow(
        at_pods, waypoint, method, path
    )


def identity(objects: Objects, account: str) -> str:
    """Return the identity of a ServiceAccount of the release, with the trust domain that the policies contain."""
    text = json.dumps(of_kind(objects, "AuthorizationPolicy"))
    domain = "shop.example" if "shop.example/ns/" in text else "cluster.local"
    return f"{domain}/ns/default/sa/{account}"


@pytest.mark.parametrize("mode", MODES)
def test_policies_allow_exactly_the_edges_of_the_graph(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    edges = {
        (caller, service)
        for caller in SERVICES
        for service in SERVICES
        if allowed(rendered, identity(rendered, f"bookinfo-{caller}"), service, "GET")
    }
    assert edges == GRAPH


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ambient-plain"])
def test_posts_are_allowed_only_to_login(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    for caller, service in GRAPH:
        assert not allowed(rendered, identity(rendered, f"bookinfo-{caller}"), service, "POST")
    (gateway,) = gateways(rendered)
    assert allowed(rendered, gateway, "productpage", "GET", "/productpage")
    assert allowed(rendered, gateway, "productpage", "POST", "/login")
    assert not allowed(rendered, gateway, "productpage", "POST", "/productpage")
    assert not allowed(rendered, gateway, "reviews", "GET")


def gateways(objects: Objects) -> set[str]:
    """Return the identities that are allowed to call productpage from outside."""
    policy = named(objects, "AuthorizationPolicy", "gateway-to-productpage")
    return {
        principal for rule in rules(policy) for source in rule["from"] for principal in source["source"]["principals"]
    }


@pytest.mark.parametrize("mode", ["ambient", "ambient-routes"])
def test_services_cannot_bypass_the_waypoint(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    for caller, service in GRAPH:
        principal = identity(rendered, f"bookinfo-{caller}")
        assert not policies_allow(policies_at(rendered, service, layer=4), principal, "GET", "/")


@pytest.mark.parametrize("mode", MODES)
def test_identities_outside_the_release_are_denied(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    for stranger in ("cluster.local/ns/default/sa/default", "cluster.local/ns/other/sa/bookinfo-productpage", ""):
        assert [service for service in SERVICES if allowed(rendered, stranger, service, "GET")] == []


@pytest.mark.parametrize("mode", MODES)
def test_default_policy_denies_everything(overlay: Overlay, mode: str) -> None:
    assert named(overlay(mode), "AuthorizationPolicy", "allow-nothing")["spec"] == {}


def test_sidecar_policies_equal_the_manifests_of_the_repository(overlay: Overlay) -> None:
    rendered = overlay("istio")
    for file in ("allow-productpage-to-details", "allow-productpage-to-reviews", "allow-reviews-to-ratings"):
        (own,) = manifests("security", f"{file}.yaml")
        assert named(rendered, "AuthorizationPolicy", own["metadata"]["name"])["spec"] == own["spec"]


def test_identities_contain_the_namespace_of_the_release(helm: Helm) -> None:
    rendered = helm.render(None, CHART / "values-istio.yaml", namespace="books")
    text = json.dumps(released(of_kind(rendered, "AuthorizationPolicy")))
    assert "cluster.local/ns/books/sa/bookinfo-reviews" in text
    assert "/ns/default/" not in text


@pytest.mark.parametrize("mode", ["ambient", "ambient-routes", "ambient-plain"])
def test_policies_at_pods_in_ambient_mode_match_no_methods_or_paths(overlay: Overlay, mode: str) -> None:
    """ztunnel enforces these policies and sees no methods or paths, so a rule that contains one would match nothing."""
    for policy in of_kind(overlay(mode), "AuthorizationPolicy"):
        if "targetRefs" not in policy["spec"]:
            matched = {key for rule in rules(policy) for to in rule.get("to", []) for key in to["operation"]}
            assert matched <= {"ports"}, policy["metadata"]["name"]


def test_scrapers_may_read_only_metrics(overlay: Overlay) -> None:
    rendered = released(overlay("sidecar"))
    scraper = "shop.example/ns/monitoring/sa/prometheus-k8s"
    for service in SERVICES:
        assert allowed(rendered, scraper, service, "GET", "/metrics")
        assert not allowed(rendered, scraper, service, "GET", "/")


def test_scraper_in_ambient_mode_is_allowed_only_to_the_port_of_the_services(overlay: Overlay) -> None:
    rendered = released(overlay("ambient-routes"))
    scraper = "cluster.local/ns/monitoring/sa/prometheus-k8s"
    for service in SERVICES:
        assert policies_allow(policies_at(rendered, service, layer=4), scraper, "GET", "/metrics")
        (rule,) = rules(named(rendered, "AuthorizationPolicy", f"scrapers-to-{service}"))
        assert rule["to"] == [{"operation": {"ports": ["9080"]}}]
    # Other workloads in the namespace, such as the gateway and the waypoint.
    assert not policies_allow(policies_at(rendered, "another", layer=4), scraper, "GET", "/metrics")


# --- an Ingress, and gateways of another class ------------------------------------------------------------------------


def test_ingress_controller_in_the_mesh_is_allowed_by_its_identity(helm: Helm) -> None:
    rendered = released(
        helm.render({"ingress": {"enabled": True, "serviceAccount": "nginx"}}, CHART / "values-ambient.yaml")
    )
    controller = "cluster.local/ns/ingress-nginx/sa/nginx"
    assert controller in gateways(rendered)
    assert policies_allow(policies_at(rendered, "productpage", layer=4), controller, "GET", "/productpage")
    assert not policies_allow(policies_at(rendered, "reviews", layer=4), controller, "GET", "/reviews/0")


def test_policies_allow_every_caller_to_read_the_page_for_a_controller_outside_the_mesh(
    helm: Helm,
) -> None:
    for mode in ("sidecar", "ambient"):
        values = {"mesh": {"mode": mode}, "ingress": {"enabled": True}, "authorizationPolicies": {"enabled": True}}
        rendered = released(helm.render(values))
        assert allowed(rendered, "", "productpage", "GET", "/productpage")
        assert not allowed(rendered, "", "reviews", "GET")


def test_configured_names_are_used_for_a_gateway_of_another_class(helm: Helm) -> None:
    settings = {"className": "other", "service": "edge.gateways", "serviceAccount": "edge"}
    rendered = helm.render({"gatewayAPI": settings}, CHART / "values-gateway-api.yaml")
    assert probe_arguments(pods_of_helm_test(rendered)["bookinfo-test-gateway"])[2] == "edge.gateways:80"
    assert gateways(rendered) == {"cluster.local/ns/default/sa/edge"}
    assert "bookinfo-gateway-istio" not in json.dumps(rendered)


@pytest.mark.parametrize("mode", ["gateway-api", "ambient"])
def test_gateway_pods_allow_every_caller(overlay: Overlay, mode: str) -> None:
    spec = named(overlay(mode), "AuthorizationPolicy", "everyone-to-gateway")["spec"]
    assert spec["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "bookinfo-gateway"}]
    assert all("from" not in rule for rule in spec["rules"])
    (own,) = manifests("security", "allow-everyone-to-productpage.yaml")
    assert [rule["to"] for rule in spec["rules"]] == [rule["to"] for rule in own["spec"]["rules"]]


# --- the test pods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_test_identity_is_allowed_only_during_helm_test(overlay: Overlay, mode: str) -> None:
    rendered = overlay(mode)
    tester = identity(rendered, "bookinfo-test")
    for service in SERVICES:
        assert allowed(rendered, tester, service, "GET")
        assert not allowed(released(rendered), tester, service, "GET")


def test_disabled_tests_render_no_test_objects(overlay: Overlay) -> None:
    assert [item for item in overlay("off") if is_test(item)] == []
    assert "bookinfo-test" not in json.dumps(overlay("off"))


def pods_of_helm_test(objects: Objects) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in of_kind(objects, "Pod")}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("default", {"bookinfo-test-edges"}),
        ("canary", {"bookinfo-test-edges", "bookinfo-test-gateway"}),
        ("istio", {"bookinfo-test-edges", "bookinfo-test-gateway", "bookinfo-test-stranger"}),
        ("ambient", {"bookinfo-test-edges", "bookinfo-test-gateway", "bookinfo-test-stranger"}),
    ],
)
def test_test_pods_match_the_gateway_and_the_policies(overlay: Overlay, mode: str, expected: set[str]) -> None:
    assert set(pods_of_helm_test(overlay(mode))) == expected


def test_only_the_edges_test_pod_is_in_the_mesh(
    overlay: Overlay,
) -> None:
    for mode, kind in (("istio", "sidecar"), ("ambient", "ambient")):
        tests = pods_of_helm_test(overlay(mode))
        for name in ("bookinfo-test-stranger", "bookinfo-test-gateway"):
            labels = tests[name]["metadata"]["labels"]
            assert (labels["sidecar.istio.io/inject"], labels["istio.io/dataplane-mode"]) == ("false", "none")
        edges = tests["bookinfo-test-edges"]
        assert edges["metadata"]["labels"].items() >= MESH_LABELS[kind].items()
        assert edges["spec"]["serviceAccountName"] == "bookinfo-test"
        assert tests["bookinfo-test-stranger"]["spec"]["serviceAccountName"] != "bookinfo-test"


def probe_arguments(pod: Object) -> tuple[str, list[str], str]:
    """Return the expected outcome, the URLs and the address (CONNECT_TO) of a test pod."""
    (only,) = pod["spec"]["containers"]
    _, _, expected, *urls = only["args"]
    environment = {variable["name"]: variable["value"] for variable in only["env"]}
    return expected, urls, environment.get("CONNECT_TO", "")


def test_test_pods_in_the_mesh_expect_success_and_others_expect_rejection(overlay: Overlay) -> None:
    every_service = [f"http://{service}:9080/" for service in SERVICES]

    def without_path(urls: list[str]) -> list[str]:
        return [url[: url.index("/", len("http://")) + 1] for url in urls]

    for mode in ("istio", "ambient"):
        tests = pods_of_helm_test(overlay(mode))
        expected, urls, _ = probe_arguments(tests["bookinfo-test-edges"])
        assert (expected, without_path(urls)) == ("served", [*every_service, "http://reviews:9080/"])
        expected, urls, _ = probe_arguments(tests["bookinfo-test-stranger"])
        assert (expected, without_path(urls)) == ("rejected", every_service)


@pytest.mark.parametrize(
    ("mode", "url", "address"),
    [
        ("istio", "http://bookinfo/productpage", "istio-ingressgateway.istio-system:80"),
        ("sidecar", "https://shop.example/productpage", "istio-ingress.istio-ingress:443"),
        ("ambient", "http://bookinfo/productpage", "bookinfo-gateway-istio:80"),
        ("gateway-routes", "https://shop.example/productpage", "bookinfo-gateway-istio:443"),
    ],
)
def test_gateway_test_uses_a_host_that_the_gateway_serves(overlay: Overlay, mode: str, url: str, address: str) -> None:
    assert probe_arguments(pods_of_helm_test(overlay(mode))["bookinfo-test-gateway"]) == ("served", [url], address)


def test_stranger_test_skips_productpage_without_strict_mutual_tls(helm: Helm) -> None:
    rendered = helm.render({"mesh": {"mode": "sidecar"}, "authorizationPolicies": {"enabled": True}})
    _, urls, _ = probe_arguments(pods_of_helm_test(rendered)["bookinfo-test-stranger"])
    assert [url for url in urls if "productpage" in url] == []
    assert len(urls) == 3


def test_helm_deletes_test_objects_on_success_and_before_creation(objects: Objects) -> None:
    for item in filter(is_test, objects):
        annotations = item["metadata"]["annotations"]
        assert set(annotations["helm.sh/hook-delete-policy"].split(",")) == {"before-hook-creation", "hook-succeeded"}
        # The policies that allow the pods exist before the pods start.
        assert (int(annotations["helm.sh/hook-weight"]) > 0) is (item["kind"] == "Pod")

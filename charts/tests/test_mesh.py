"""The mesh: the way in, subsets, weights, identities, and who may call whom."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import CHART, ROOT, SERVICES, Helm, Object, Objects, is_test, named, of_kind, pods, released

GRAPH = {("productpage", "details"), ("productpage", "reviews"), ("reviews", "ratings")}
MODES = ("istio", "gateway-api", "sidecar", "gateway-routes", "ambient", "ambient-routes", "ambient-plain")
IN = {"sidecar": {"sidecar.istio.io/inject": "true"}, "ambient": {"istio.io/dataplane-mode": "ambient"}}

Overlay = Callable[[str], Objects]


def manifests(folder: str, file: str) -> Objects:
    """The objects of a file under istio/."""
    return [item for item in yaml.safe_load_all((ROOT / "istio" / folder / file).read_text()) if item]


def hosts(item: Object) -> list[str]:
    """The hosts that a route rules: names of Services, or of the outside."""
    if item["kind"] == "VirtualService":
        names: list[str] = item["spec"]["hosts"]
        return names
    parents = [parent["name"] for parent in item["spec"]["parentRefs"] if parent.get("kind") == "Service"]
    return parents or item["spec"].get("hostnames", ["*"])


# The way in


def test_the_gateway_is_the_repository_s(overlay: Overlay) -> None:
    rendered = overlay("istio")
    for own in manifests("gateway", "bookinfo-gateway.yaml"):
        assert named(rendered, own["kind"], own["metadata"]["name"])["spec"] == own["spec"]


def test_gateway_route_and_ingress_serve_the_same_paths(overlay: Overlay) -> None:
    (rule,) = named(overlay("istio"), "VirtualService", "bookinfo")["spec"]["http"]
    by_istio = {(kind, path) for match in rule["match"] for kind, path in match["uri"].items()}
    (rule,) = named(overlay("gateway-api"), "HTTPRoute", "bookinfo")["spec"]["rules"]
    by_gateway_api = {(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]}
    first, *others = named(overlay("ingress"), "Ingress", "bookinfo")["spec"]["rules"]
    by_ingress = {(path["pathType"], path["path"]) for path in first["http"]["paths"]}
    assert {({"exact": "Exact", "prefix": "PathPrefix"}[kind], path) for kind, path in by_istio} == by_gateway_api
    assert {({"exact": "Exact", "prefix": "Prefix"}[kind], path) for kind, path in by_istio} == by_ingress
    assert [other["http"] for other in others] == [first["http"]]


def test_the_way_in_serves_the_given_hosts_and_no_other(overlay: Overlay) -> None:
    gateway = named(overlay("sidecar"), "Gateway", "bookinfo-gateway")["spec"]
    assert gateway["selector"] == {"istio": "ingress"}
    assert [server["hosts"] for server in gateway["servers"]] == [["shop.example"]]
    assert hosts(named(overlay("sidecar"), "VirtualService", "bookinfo")) == ["shop.example"]
    assert hosts(named(overlay("gateway-routes"), "HTTPRoute", "bookinfo")) == ["shop.example"]
    ingress = named(overlay("ingress"), "Ingress", "bookinfo")["spec"]
    assert [rule["host"] for rule in ingress["rules"]] == ["shop.example", "www.shop.example"]
    assert ingress["tls"][0]["hosts"] == ["shop.example", "www.shop.example"]


def test_a_gateway_with_a_certificate_speaks_tls(overlay: Overlay) -> None:
    (server,) = named(overlay("sidecar"), "Gateway", "bookinfo-gateway")["spec"]["servers"]
    assert server["port"] == {"number": 8443, "name": "https", "protocol": "HTTPS"}
    assert server["tls"] == {"mode": "SIMPLE", "credentialName": "shop-tls"}
    (listener,) = named(overlay("gateway-routes"), "Gateway", "bookinfo-gateway")["spec"]["listeners"]
    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["tls"]["certificateRefs"] == [{"name": "shop-tls"}]
    assert named(overlay("ingress"), "Ingress", "bookinfo")["spec"]["tls"][0]["secretName"] == "shop-tls"


def test_no_host_is_ruled_by_both_apis(objects: Objects) -> None:
    by_istio = {host for item in of_kind(objects, "VirtualService") for host in hosts(item)}
    by_gateway_api = {host for item in of_kind(objects, "HTTPRoute") for host in hosts(item)}
    assert not by_istio & by_gateway_api
    assert not (by_istio and by_gateway_api)


# Versions


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


def test_destination_rules_keep_what_the_repository_s_say_and_take_more(overlay: Overlay) -> None:
    policy = named(overlay("sidecar"), "DestinationRule", "ratings")["spec"]["trafficPolicy"]
    assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
    assert policy["outlierDetection"]["consecutive5xxErrors"] == 5


def test_weights_make_the_canary_s_route(overlay: Overlay) -> None:
    (canary,) = manifests("canary", "reviews-90-10.yaml")
    assert named(overlay("sidecar"), "VirtualService", "reviews")["spec"] == canary["spec"]


def test_weights_make_the_same_route_of_the_gateway_api(overlay: Overlay) -> None:
    spec = named(overlay("ambient-routes"), "HTTPRoute", "reviews")["spec"]
    assert spec["parentRefs"] == [{"group": "", "kind": "Service", "name": "reviews", "port": 9080}]
    (rule,) = spec["rules"]
    assert [(ref["name"], ref["weight"]) for ref in rule["backendRefs"]] == [("reviews-v1", 90), ("reviews-v2", 10)]
    for ref in rule["backendRefs"]:
        assert named(overlay("ambient-routes"), "Service", ref["name"])


def test_a_release_whose_canary_is_managed_holds_no_weights(overlay: Overlay) -> None:
    assert '"weight"' not in json.dumps(overlay("canary"))
    assert {item["metadata"]["name"] for item in of_kind(overlay("canary"), "VirtualService")} == {"bookinfo"}


# In the mesh or not


@pytest.mark.parametrize(("name", "mode"), [("istio", "sidecar"), ("gateway-api", "sidecar"), ("ambient", "ambient")])
def test_the_overlay_puts_every_pod_into_the_mesh(overlay: Overlay, name: str, mode: str) -> None:
    for deployment in of_kind(overlay(name), "Deployment"):
        assert deployment["spec"]["template"]["metadata"]["labels"].items() >= IN[mode].items()


def test_without_a_mesh_nothing_of_istio_is_rendered(helm: Helm, overlay: Overlay) -> None:
    for name in ("default", "production", "ingress"):
        rendered = overlay(name)
        assert not any("istio.io" in item["apiVersion"] for item in rendered)
        for _, pod in pods(of_kind(rendered, "Deployment")):
            assert "istio" not in json.dumps(pod)


def test_pods_wait_for_their_proxy_only_where_sidecars_are_ordinary_containers(
    objects: Objects, values_file: Path
) -> None:
    legacy = values_file.stem == "sidecar-values"
    for deployment in of_kind(objects, "Deployment"):
        config = deployment["spec"]["template"]["metadata"]["annotations"].get("proxy.istio.io/config")
        assert bool(config) is legacy
        if config:
            assert yaml.safe_load(config)["holdApplicationUntilProxyStarts"] is True


@pytest.mark.parametrize(("drain", "whole"), [(2, 7), (0.5, 5.5)])
def test_a_proxy_that_is_an_ordinary_container_outlives_what_its_service_drains(
    helm: Helm, drain: float, whole: float
) -> None:
    rendered = helm.render({"shutdown": {"drainSeconds": drain}}, CHART / "ci/sidecar-values.yaml")
    annotations = named(rendered, "Deployment", "reviews-v1")["spec"]["template"]["metadata"]["annotations"]
    settings = yaml.safe_load(annotations["proxy.istio.io/config"])["proxyMetadata"]
    assert settings == {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true", "MINIMUM_DRAIN_DURATION": f"{whole:g}s"}


def test_a_test_pod_ends_its_sidecar_only_where_that_would_outlive_it(objects: Objects, values_file: Path) -> None:
    ending = {
        item["metadata"]["name"]
        for item in of_kind(objects, "Pod")
        if any(each["name"] == "STOP_SIDECAR" for each in item["spec"]["containers"][0]["env"])
    }
    assert ending == ({"bookinfo-test-edges"} if values_file.stem == "sidecar-values" else set())


def test_test_pods_go_to_the_nodes_of_the_others(overlay: Overlay) -> None:
    rendered = overlay("pods")
    expected = named(rendered, "Deployment", "reviews-v1")["spec"]["template"]["spec"]
    for item in of_kind(rendered, "Pod"):
        for key in ("nodeSelector", "tolerations"):
            assert item["spec"][key] == expected[key]


def test_a_revision_is_named_on_every_pod(overlay: Overlay) -> None:
    for deployment in of_kind(overlay("sidecar"), "Deployment"):
        assert deployment["spec"]["template"]["metadata"]["labels"]["istio.io/rev"] == "canary"


def test_a_revision_cares_for_gateways_of_class_istio_and_for_the_waypoint(helm: Helm) -> None:
    ambient = {"mesh": {"mode": "ambient", "revision": "canary"}, "waypoint": {"enabled": True}}
    gateways = of_kind(helm.render({**ambient, "gatewayAPI": {"enabled": True}}), "Gateway")
    assert [gateway["metadata"]["labels"]["istio.io/rev"] for gateway in gateways] == ["canary", "canary"]
    other = {"enabled": True, "className": "other", "service": "edge"}
    found = {
        gateway["metadata"]["name"]: "istio.io/rev" in gateway["metadata"]["labels"]
        for gateway in of_kind(helm.render({**ambient, "gatewayAPI": other}), "Gateway")
    }
    assert found == {"bookinfo-gateway": False, "bookinfo-waypoint": True}


@pytest.mark.parametrize("hosts", [["*"], ["shop.example", "*"]])
def test_an_asterisk_among_the_hosts_is_every_host(helm: Helm, hosts: list[str]) -> None:
    given = {"enabled": True, "hosts": hosts}
    route = named(helm.render({"gatewayAPI": given}), "HTTPRoute", "bookinfo")
    assert "hostnames" not in route["spec"]
    ingress = named(helm.render({"ingress": {**given, "tlsSecret": "shop"}}), "Ingress", "bookinfo")["spec"]
    (rule,) = ingress["rules"]
    assert "host" not in rule
    assert ingress["tls"] == [{"secretName": "shop"}]


@pytest.mark.parametrize(
    ("given", "port"),
    [({}, 8080), ({"tlsSecret": "shop"}, 8443), ({"port": 8080, "tlsSecret": "shop"}, 8080), ({"port": 80}, 80)],
    ids=str,
)
def test_a_gateway_listens_where_istio_s_service_leads_unless_said_otherwise(
    helm: Helm, given: dict[str, Any], port: int
) -> None:
    gateway = named(helm.render({"istioGateway": {"enabled": True, **given}}), "Gateway", "bookinfo-gateway")
    (server,) = gateway["spec"]["servers"]
    assert server["port"]["number"] == port


def test_services_use_the_waypoint(overlay: Overlay) -> None:
    rendered = overlay("ambient")
    waypoint = named(rendered, "Gateway", "bookinfo-waypoint")
    assert waypoint["spec"]["gatewayClassName"] == "istio-waypoint"
    assert waypoint["spec"]["listeners"][0]["protocol"] == "HBONE"
    for service in SERVICES:
        labels = named(rendered, "Service", service)["metadata"]["labels"]
        assert labels["istio.io/use-waypoint"] == "bookinfo-waypoint"
        # What comes through a gateway would go past the waypoint, and its policies, without this.
        assert ("istio.io/ingress-use-waypoint" in labels) == (service == "productpage")


def test_telemetry_is_the_repository_s_with_its_provider_and_sampling(overlay: Overlay) -> None:
    spec = named(overlay("sidecar"), "Telemetry", "bookinfo")["spec"]
    (own,) = manifests("telemetry", "tracing-and-access-log.yaml")
    assert spec["accessLogging"] == own["spec"]["accessLogging"]
    assert spec["tracing"] == [{"providers": [{"name": "otel"}], "randomSamplingPercentage": 5}]


def test_mutual_tls_is_strict_unless_said_otherwise(overlay: Overlay) -> None:
    (own,) = manifests("security", "mtls-strict.yaml")
    assert named(overlay("istio"), "PeerAuthentication", "default")["spec"] == own["spec"]
    assert named(overlay("gateway-routes"), "PeerAuthentication", "default")["spec"] == {"mtls": {"mode": "PERMISSIVE"}}


# Who may call whom


def policies_at(objects: Objects, service: str, *, layer: int) -> Objects:
    """The policies that a Service's pods (layer 4), or its waypoint (layer 7), enforce."""
    found = []
    for policy in of_kind(objects, "AuthorizationPolicy"):
        spec = policy["spec"]
        targets = [target["name"] for target in spec.get("targetRefs", []) if target["kind"] == "Service"]
        selected = "targetRefs" not in spec and spec.get("selector", {}).get("matchLabels", {"app": service}) == {
            "app": service
        }
        if service in targets if layer == 7 else selected:
            found.append(policy)
    return found


def admits(policies: Objects, principal: str, method: str, path: str) -> bool:
    """Istio's decision: with a policy in force, some rule must fit; without one, everything is allowed."""
    return not policies or any(fits(rule, principal, method, path) for policy in policies for rule in rules(policy))


def rules(policy: Object) -> Iterator[Object]:
    yield from policy["spec"].get("rules", [])


def fits(rule: Object, principal: str, method: str, path: str) -> bool:
    sources = [source["source"]["principals"] for source in rule.get("from", [])]
    operations = [operation["operation"] for operation in rule.get("to", [])]
    from_fits = not sources or any(principal in principals for principals in sources)
    to_fits = not operations or any(
        method in operation.get("methods", [method]) and path in operation.get("paths", [path])
        for operation in operations
    )
    return from_fits and to_fits


def allowed(objects: Objects, caller: str, service: str, method: str, path: str = "/") -> bool:
    """Whether the mesh lets an identity call a Service: its pods decide, or its waypoint and then the pods."""
    classes = {item["spec"].get("gatewayClassName") for item in of_kind(objects, "Gateway")}
    at_pods = policies_at(objects, service, layer=4)
    if "istio-waypoint" not in classes:
        return admits(at_pods, caller, method, path)
    waypoint = identity(objects, "bookinfo-waypoint")
    return admits(policies_at(objects, service, layer=7), caller, method, path) and admits(
        at_pods, waypoint, method, path
    )


def identity(objects: Objects, account: str) -> str:
    """The identity of an account of the release; its trust domain as the policies write it."""
    text = json.dumps(of_kind(objects, "AuthorizationPolicy"))
    domain = "shop.example" if "shop.example/ns/" in text else "cluster.local"
    return f"{domain}/ns/default/sa/{account}"


@pytest.mark.parametrize("mode", MODES)
def test_each_edge_of_the_graph_is_allowed_and_no_other(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    edges = {
        (caller, service)
        for caller in SERVICES
        for service in SERVICES
        if allowed(rendered, identity(rendered, f"bookinfo-{caller}"), service, "GET")
    }
    assert edges == GRAPH


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ambient-plain"])
def test_nobody_writes_but_by_signing_in(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    for caller, service in GRAPH:
        assert not allowed(rendered, identity(rendered, f"bookinfo-{caller}"), service, "POST")
    (gateway,) = gateways(rendered)
    assert allowed(rendered, gateway, "productpage", "GET", "/productpage")
    assert allowed(rendered, gateway, "productpage", "POST", "/login")
    assert not allowed(rendered, gateway, "productpage", "POST", "/productpage")
    assert not allowed(rendered, gateway, "reviews", "GET")


def gateways(objects: Objects) -> set[str]:
    """The identities that the way in admits."""
    policy = named(objects, "AuthorizationPolicy", "gateway-to-productpage")
    return {
        principal for rule in rules(policy) for source in rule["from"] for principal in source["source"]["principals"]
    }


@pytest.mark.parametrize("mode", ["ambient", "ambient-routes"])
def test_nobody_of_the_release_walks_around_the_waypoint(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    for caller, service in GRAPH:
        own = identity(rendered, f"bookinfo-{caller}")
        assert not admits(policies_at(rendered, service, layer=4), own, "GET", "/")


@pytest.mark.parametrize("mode", MODES)
def test_nobody_outside_the_release_is_admitted(overlay: Overlay, mode: str) -> None:
    rendered = released(overlay(mode))
    for stranger in ("cluster.local/ns/default/sa/default", "cluster.local/ns/other/sa/bookinfo-productpage", ""):
        assert [service for service in SERVICES if allowed(rendered, stranger, service, "GET")] == []


@pytest.mark.parametrize("mode", MODES)
def test_the_floor_is_to_allow_nothing(overlay: Overlay, mode: str) -> None:
    assert named(overlay(mode), "AuthorizationPolicy", "allow-nothing")["spec"] == {}


def test_policies_of_sidecars_are_the_repository_s(overlay: Overlay) -> None:
    rendered = overlay("istio")
    for file in ("allow-productpage-to-details", "allow-productpage-to-reviews", "allow-reviews-to-ratings"):
        (own,) = manifests("security", f"{file}.yaml")
        assert named(rendered, "AuthorizationPolicy", own["metadata"]["name"])["spec"] == own["spec"]


def test_identities_are_those_of_the_release_s_namespace(helm: Helm) -> None:
    rendered = helm.render(None, CHART / "values-istio.yaml", namespace="books")
    text = json.dumps(released(of_kind(rendered, "AuthorizationPolicy")))
    assert "cluster.local/ns/books/sa/bookinfo-reviews" in text
    assert "/ns/default/" not in text


@pytest.mark.parametrize("mode", ["ambient", "ambient-routes", "ambient-plain"])
def test_in_ambient_mode_only_a_waypoint_is_asked_about_methods_and_paths(overlay: Overlay, mode: str) -> None:
    """ztunnel, at the pods, sees neither: a rule with one would refuse everybody there."""
    for policy in of_kind(overlay(mode), "AuthorizationPolicy"):
        if "targetRefs" not in policy["spec"]:
            asked = {key for rule in rules(policy) for to in rule.get("to", []) for key in to["operation"]}
            assert asked <= {"ports"}, policy["metadata"]["name"]


def test_metrics_may_be_read_by_the_named_scrapers_and_nothing_else_by_them(overlay: Overlay) -> None:
    rendered = released(overlay("sidecar"))
    scraper = "shop.example/ns/monitoring/sa/prometheus-k8s"
    for service in SERVICES:
        assert allowed(rendered, scraper, service, "GET", "/metrics")
        assert not allowed(rendered, scraper, service, "GET", "/")


def test_in_ambient_mode_a_scraper_reaches_the_port_of_bookinfo_s_own_pods_alone(overlay: Overlay) -> None:
    rendered = released(overlay("ambient-routes"))
    scraper = "cluster.local/ns/monitoring/sa/prometheus-k8s"
    for service in SERVICES:
        assert admits(policies_at(rendered, service, layer=4), scraper, "GET", "/metrics")
        (rule,) = rules(named(rendered, "AuthorizationPolicy", f"scrapers-to-{service}"))
        assert rule["to"] == [{"operation": {"ports": ["9080"]}}]
    # Whatever else runs in the namespace, the gateway and the waypoint among it.
    assert not admits(policies_at(rendered, "another", layer=4), scraper, "GET", "/metrics")


# An Ingress, and gateways that are not Istio's


def test_an_ingress_controller_in_the_mesh_is_admitted_by_its_identity(helm: Helm) -> None:
    rendered = released(
        helm.render({"ingress": {"enabled": True, "serviceAccount": "nginx"}}, CHART / "values-ambient.yaml")
    )
    controller = "cluster.local/ns/ingress-nginx/sa/nginx"
    assert controller in gateways(rendered)
    assert admits(policies_at(rendered, "productpage", layer=4), controller, "GET", "/productpage")
    assert not admits(policies_at(rendered, "reviews", layer=4), controller, "GET", "/reviews/0")


def test_an_ingress_controller_outside_the_mesh_is_admitted_by_policies_that_let_everybody_read_the_page(
    helm: Helm,
) -> None:
    for mode in ("sidecar", "ambient"):
        values = {"mesh": {"mode": mode}, "ingress": {"enabled": True}, "authorizationPolicies": {"enabled": True}}
        rendered = released(helm.render(values))
        assert allowed(rendered, "", "productpage", "GET", "/productpage")
        assert not allowed(rendered, "", "reviews", "GET")


def test_a_gateway_of_another_class_is_called_and_admitted_by_the_names_that_are_given(helm: Helm) -> None:
    given = {"className": "other", "service": "edge.gateways", "serviceAccount": "edge"}
    rendered = helm.render({"gatewayAPI": given}, CHART / "values-gateway-api.yaml")
    assert asks(by_name(rendered)["bookinfo-test-gateway"])[2] == "edge.gateways:80"
    assert gateways(rendered) == {"cluster.local/ns/default/sa/edge"}
    assert "bookinfo-gateway-istio" not in json.dumps(rendered)


@pytest.mark.parametrize("mode", ["gateway-api", "ambient"])
def test_the_gateway_s_own_pods_stay_open_to_the_outside(overlay: Overlay, mode: str) -> None:
    spec = named(overlay(mode), "AuthorizationPolicy", "everyone-to-gateway")["spec"]
    assert spec["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "bookinfo-gateway"}]
    assert all("from" not in rule for rule in spec["rules"])
    (own,) = manifests("security", "allow-everyone-to-productpage.yaml")
    assert [rule["to"] for rule in spec["rules"]] == [rule["to"] for rule in own["spec"]["rules"]]


# helm test


@pytest.mark.parametrize("mode", MODES)
def test_the_test_s_identity_may_read_every_service_only_while_the_tests_run(overlay: Overlay, mode: str) -> None:
    rendered = overlay(mode)
    tester = identity(rendered, "bookinfo-test")
    for service in SERVICES:
        assert allowed(rendered, tester, service, "GET")
        assert not allowed(released(rendered), tester, service, "GET")


def test_without_tests_nothing_of_them_is_rendered(overlay: Overlay) -> None:
    assert [item for item in overlay("off") if is_test(item)] == []
    assert "bookinfo-test" not in json.dumps(overlay("off"))


def by_name(objects: Objects) -> dict[str, Any]:
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
def test_there_is_a_test_pod_for_the_gateway_where_there_is_one_and_a_stranger_under_strict_policies(
    overlay: Overlay, mode: str, expected: set[str]
) -> None:
    assert set(by_name(overlay(mode))) == expected


def test_the_stranger_and_the_gateway_s_caller_are_outside_the_mesh_and_the_edges_caller_is_inside(
    overlay: Overlay,
) -> None:
    for mode, kind in (("istio", "sidecar"), ("ambient", "ambient")):
        found = by_name(overlay(mode))
        for name in ("bookinfo-test-stranger", "bookinfo-test-gateway"):
            labels = found[name]["metadata"]["labels"]
            assert (labels["sidecar.istio.io/inject"], labels["istio.io/dataplane-mode"]) == ("false", "none")
        edges = found["bookinfo-test-edges"]
        assert edges["metadata"]["labels"].items() >= IN[kind].items()
        assert edges["spec"]["serviceAccountName"] == "bookinfo-test"
        assert found["bookinfo-test-stranger"]["spec"]["serviceAccountName"] != "bookinfo-test"


def asks(pod: Object) -> tuple[str, list[str], str]:
    """What a test pod expects, of which URLs, and through which address."""
    (only,) = pod["spec"]["containers"]
    _, _, expected, *urls = only["args"]
    environment = {variable["name"]: variable["value"] for variable in only["env"]}
    return expected, urls, environment.get("CONNECT_TO", "")


def test_members_expect_to_be_served_and_strangers_to_be_refused(overlay: Overlay) -> None:
    everything = [f"http://{service}:9080/" for service in SERVICES]

    def origins(urls: list[str]) -> list[str]:
        return [url[: url.index("/", len("http://")) + 1] for url in urls]

    for mode in ("istio", "ambient"):
        found = by_name(overlay(mode))
        expected, urls, _ = asks(found["bookinfo-test-edges"])
        assert (expected, origins(urls)) == ("served", [*everything, "http://reviews:9080/"])
        expected, urls, _ = asks(found["bookinfo-test-stranger"])
        assert (expected, origins(urls)) == ("refused", everything)


@pytest.mark.parametrize(
    ("mode", "url", "address"),
    [
        ("istio", "http://bookinfo/productpage", "istio-ingressgateway.istio-system:80"),
        ("sidecar", "https://shop.example/productpage", "istio-ingress.istio-ingress:443"),
        ("ambient", "http://bookinfo/productpage", "bookinfo-gateway-istio:80"),
        ("gateway-routes", "https://shop.example/productpage", "bookinfo-gateway-istio:443"),
    ],
)
def test_the_page_is_expected_at_the_gateway_under_the_name_it_serves(
    overlay: Overlay, mode: str, url: str, address: str
) -> None:
    assert asks(by_name(overlay(mode))["bookinfo-test-gateway"]) == ("served", [url], address)


def test_without_strict_mutual_tls_strangers_may_read_what_the_policies_open_to_everybody(helm: Helm) -> None:
    rendered = helm.render({"mesh": {"mode": "sidecar"}, "authorizationPolicies": {"enabled": True}})
    _, urls, _ = asks(by_name(rendered)["bookinfo-test-stranger"])
    assert [url for url in urls if "productpage" in url] == []
    assert len(urls) == 3


def test_tests_clean_up_when_they_succeed_and_are_made_anew(objects: Objects) -> None:
    for item in filter(is_test, objects):
        annotations = item["metadata"]["annotations"]
        assert set(annotations["helm.sh/hook-delete-policy"].split(",")) == {"before-hook-creation", "hook-succeeded"}
        # What admits the pods is there before they start.
        assert (int(annotations["helm.sh/hook-weight"]) > 0) is (item["kind"] == "Pod")

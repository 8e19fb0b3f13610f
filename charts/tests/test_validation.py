"""Every rendered object is valid for the strict schemas of every supported Kubernetes version."""

import copy
from typing import Any

import pytest
from charts.tests.rendering import CHART, Helm, Objects, Overlay, named
from charts.tests.validation import KUBERNETES, schema_errors


def errors_by_object(objects: Objects, kubernetes: str) -> dict[str, list[str]]:
    """Return the schema errors of each invalid object."""
    return {
        f"{item['kind']} {item['metadata']['name']}": errors
        for item in objects
        if (errors := schema_errors(item, kubernetes))
    }


@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_object_is_valid_on_every_supported_kubernetes(objects: Objects, kubernetes: str) -> None:
    assert errors_by_object(objects, kubernetes) == {}


def test_rendered_objects_do_not_depend_on_the_kubernetes_version(helm: Helm) -> None:
    def without_key(objects: Objects) -> Objects:
        return [item for item in objects if item["kind"] != "Secret"]

    oldest, newest = (helm.render(kubernetes=f"{version}.0") for version in (KUBERNETES[0], KUBERNETES[-1]))
    assert without_key(oldest) == without_key(newest)


COMMON_VALUES: dict[str, Any] = {
    "env": {"NO": 1},
    "image": {"pullSecrets": ["1"]},
    "pod": {"priorityClassName": "2"},
    "services": {"productpage": {"versions": {"3": {}, "on": {}}}},
}
VERSION_5 = {"services": {"reviews": {"versions": {"5": {"weight": 1, "env": {"VERSION": "v1"}}}}}}
VALUES_LIKE_NUMBERS: dict[str, Any] = {
    "sidecar": {"mesh": {"revision": "4", "trustDomain": "*"}, **VERSION_5},
    "ambient-routes": {"mesh": {"revision": "4", "trustDomain": "*"}, "waypoint": {"name": "6"}, **VERSION_5},
    "gateway-routes": {
        "gatewayAPI": {"tlsSecret": "7", "className": "8", "service": "9", "serviceAccount": "10"},
        **VERSION_5,
    },
    "ingress": {
        "ingress": {"className": "11", "tlsSecret": "12", "namespace": "13"},
        "session": {"existingSecret": "14"},
    },
    "pods": {"topologySpread": {"topologyKeys": ["on"]}},
}


@pytest.mark.parametrize("file", VALUES_LIKE_NUMBERS)
def test_names_may_look_like_numbers_or_booleans(helm: Helm, file: str) -> None:
    """`--namespace 2026` and `--set-string mesh.revision=127` are names in Kubernetes, but numbers in YAML."""
    services = COMMON_VALUES["services"] | VALUES_LIKE_NUMBERS[file].get("services", {})
    values = {**COMMON_VALUES, **VALUES_LIKE_NUMBERS[file], "services": services}
    if file == "gateway-routes":
        values["networkPolicy"] = {"productpageFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    objects = helm.render(values, CHART / f"ci/{file}-values.yaml", release="2026", namespace="on")
    assert {item["metadata"]["namespace"] for item in objects} == {"on"}
    assert {item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in objects} == {"2026"}
    assert errors_by_object(objects, "1.37") == {}


MISSPELLED = [
    ("Deployment", "reviews-v1", ("spec", "template", "spec", "containers", 0), "livenesProbe"),
    ("Service", "reviews", ("spec",), "port"),
    ("NetworkPolicy", "bookinfo-reviews", ("spec", "ingress", 0), "form"),
    ("Gateway", "bookinfo-gateway", ("spec", "servers", 0), "host"),
    ("VirtualService", "reviews", ("spec", "http", 0), "rout"),
    ("DestinationRule", "reviews", ("spec", "trafficPolicy"), "outlier"),
    ("AuthorizationPolicy", "reviews-to-ratings", ("spec", "rules", 0), "too"),
    ("PeerAuthentication", "default", ("spec", "mtls"), "modes"),
    ("Telemetry", "bookinfo", ("spec", "tracing", 0), "randomSampling"),
    ("PodMonitor", "bookinfo", ("spec", "podMetricsEndpoints", 0), "portNum"),
]


@pytest.mark.parametrize(("kind", "name", "path", "field"), MISSPELLED, ids=lambda value: str(value))
def test_misspelled_field_is_detected(
    overlay: Overlay, kind: str, name: str, path: tuple[Any, ...], field: str
) -> None:
    invalid = copy.deepcopy(named(overlay("sidecar"), kind, name))
    parent = invalid
    for key in path:
        parent = parent[key]
    parent[field] = {}
    assert any(field in message for message in schema_errors(invalid, "1.34"))


def test_misspelled_field_of_the_gateway_api_is_detected(overlay: Overlay) -> None:
    for name in ("bookinfo", "reviews"):
        invalid = copy.deepcopy(named(overlay("gateway-routes"), "HTTPRoute", name))
        invalid["spec"]["rules"][0]["backendRefs"][0]["wieght"] = 1
        assert any("wieght" in message for message in schema_errors(invalid, "1.34"))


def test_invalid_type_is_detected(overlay: Overlay) -> None:
    invalid = copy.deepcopy(named(overlay("sidecar"), "VirtualService", "reviews"))
    invalid["spec"]["http"][0]["route"][0]["weight"] = "90"
    assert any("'90' is not of type 'number'" in message for message in schema_errors(invalid, "1.34"))

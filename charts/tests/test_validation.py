"""Every object of every rendering is valid, strictly, wherever it may go."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from charts.tests.rendering import CHART, Helm, Objects, named
from charts.tests.validation import KUBERNETES, mistakes


@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_object_is_valid_on_every_supported_kubernetes(objects: Objects, kubernetes: str) -> None:
    found = {
        f"{item['kind']} {item['metadata']['name']}": wrong for item in objects if (wrong := mistakes(item, kubernetes))
    }
    assert found == {}


def test_what_the_chart_renders_does_not_depend_on_the_kubernetes_version(helm: Helm) -> None:
    def without_key(objects: Objects) -> Objects:
        return [item for item in objects if item["kind"] != "Secret"]

    oldest, newest = (helm.render(kubernetes=f"{version}.0") for version in (KUBERNETES[0], KUBERNETES[-1]))
    assert without_key(oldest) == without_key(newest)


EVERY_FILE: dict[str, Any] = {
    "env": {"NO": 1},
    "image": {"pullSecrets": ["1"]},
    "pod": {"priorityClassName": "2"},
    "services": {"productpage": {"versions": {"3": {}, "on": {}}}},
}
FIVE = {"services": {"reviews": {"versions": {"5": {"weight": 1, "env": {"VERSION": "v1"}}}}}}
LIKE_NUMBERS: dict[str, Any] = {
    "sidecar": {"mesh": {"revision": "4", "trustDomain": "*"}, **FIVE},
    "ambient-routes": {"mesh": {"revision": "4", "trustDomain": "*"}, "waypoint": {"name": "6"}, **FIVE},
    "gateway-routes": {
        "gatewayAPI": {"tlsSecret": "7", "className": "8", "service": "9", "serviceAccount": "10"},
        **FIVE,
    },
    "ingress": {
        "ingress": {"className": "11", "tlsSecret": "12", "namespace": "13"},
        "session": {"existingSecret": "14"},
    },
    "pods": {"topologySpread": {"topologyKeys": ["on"]}},
}


@pytest.mark.parametrize("file", LIKE_NUMBERS)
def test_a_name_may_look_like_a_number_or_a_truth_value(helm: Helm, file: str) -> None:
    """`--namespace 2026` and `--set-string mesh.revision=127` are names to Kubernetes, and numbers to YAML."""
    services = EVERY_FILE["services"] | LIKE_NUMBERS[file].get("services", {})
    values = {**EVERY_FILE, **LIKE_NUMBERS[file], "services": services}
    if file == "gateway-routes":
        values["networkPolicy"] = {"productpageFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    objects = helm.render(values, CHART / f"ci/{file}-values.yaml", release="2026", namespace="on")
    assert {item["metadata"]["namespace"] for item in objects} == {"on"}
    assert {item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in objects} == {"2026"}
    found = {
        f"{item['kind']} {item['metadata']['name']}": wrong for item in objects if (wrong := mistakes(item, "1.37"))
    }
    assert found == {}


MISSPELT = [
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


@pytest.mark.parametrize(("kind", "name", "path", "field"), MISSPELT, ids=lambda value: str(value))
def test_a_misspelt_field_is_found(
    overlay: Callable[[str], Objects], kind: str, name: str, path: tuple[Any, ...], field: str
) -> None:
    broken = copy.deepcopy(named(overlay("sidecar"), kind, name))
    at = broken
    for step in path:
        at = at[step]
    at[field] = {}
    assert any(field in message for message in mistakes(broken, "1.34"))


def test_a_misspelt_field_of_the_gateway_api_is_found(overlay: Callable[[str], Objects]) -> None:
    for name in ("bookinfo", "reviews"):
        broken = copy.deepcopy(named(overlay("gateway-routes"), "HTTPRoute", name))
        broken["spec"]["rules"][0]["backendRefs"][0]["wieght"] = 1
        assert any("wieght" in message for message in mistakes(broken, "1.34"))


def test_a_wrong_type_is_found(overlay: Callable[[str], Objects]) -> None:
    broken = copy.deepcopy(named(overlay("sidecar"), "VirtualService", "reviews"))
    broken["spec"]["http"][0]["route"][0]["weight"] = "90"
    assert any("'90' is not of type 'number'" in message for message in mistakes(broken, "1.34"))

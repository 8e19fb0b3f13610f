"""Wrong values: Helm refuses, and says where and what to do."""

import re
from typing import Any

import pytest
from charts.tests.rendering import Helm, RefusedError

SICK = {"mesh": {"mode": "sidecar"}, "destinationRules": {"enabled": True}, "virtualServices": {"enabled": True}}
WEIGHTS = {"reviews": {"versions": {"v1": {"weight": 0}, "v2": {"weight": 0}}}}

BY_SCHEMA: list[tuple[dict[str, Any], str]] = [
    ({"replicaCount": 2}, "at '': additional properties 'replicaCount' not allowed"),
    ({"services": {"review": {}}}, "at '/services': additional properties 'review' not allowed"),
    (
        {"services": {"reviews": {"versions": {"v1": {"replica": 2}}}}},
        "at '/services/reviews/versions/v1': additional properties 'replica' not allowed",
    ),
    (
        {"services": {"reviews": {"versions": {"v1": {"replicas": "two"}}}}},
        "at '/services/reviews/versions/v1/replicas': got string, want integer",
    ),
    (
        {"services": {"reviews": {"versions": {"v1": {"faults": {"abortPercent": 101}}}}}},
        "at '/services/reviews/versions/v1/faults/abortPercent': maximum: got 101, want 100",
    ),
    (
        {"services": {"reviews": {"versions": {"V2": {}}}}},
        "at '/services/reviews/versions': additional properties 'V2' not allowed",
    ),
    (
        {"services": {"reviews": {"versions": {"v1": {"image": {"digest": "latest"}}}}}},
        "at '/services/reviews/versions/v1/image/digest': 'latest' does not match pattern",
    ),
    (
        {"services": {"ratings": {"resources": {"requests": {"cpu": "much"}}}}},
        "at '/services/ratings/resources/requests/cpu': 'much' does not match pattern",
    ),
    ({"env": {"LOG-LEVEL": "debug"}}, "at '/env': additional properties 'LOG-LEVEL' not allowed"),
    (  # Helm holds numbers as floats, and would round it
        {"env": {"A": 9007199254740993}},
        "at '/env/A': maximum: got 9.007199254740992",
    ),
    (
        {"versionDefaults": {"faults": {"seed": 9007199254740993}}},
        "at '/versionDefaults/faults/seed': maximum: got 9.007199254740992",
    ),
    ({"mesh": {"mode": "istio"}}, "at '/mesh/mode': value must be one of 'none', 'sidecar', 'ambient'"),
    ({"session": {"secret": 16 * " "}}, "at '/session/secret': '                ' does not match pattern"),
    ({"services": None}, "at '': missing property 'services'"),
    ({"mesh": None}, "at '': missing property 'mesh'"),
    ({"mesh": {"trustDomain": "a/b"}}, "at '/mesh/trustDomain': 'a/b' does not match pattern"),
    ({"mesh": {"trustDomain": None}}, "at '/mesh': missing property 'trustDomain'"),
    ({"session": {"secret": "short"}}, "at '/session/secret': 'short' does not match pattern"),
    ({"autoscaling": {"cpuPercent": 0}}, "at '/autoscaling/cpuPercent': minimum: got 0, want 1"),
    ({"istioGateway": {"port": 70000}}, "at '/istioGateway/port': maximum: got 70,000, want 65,535"),
    ({"gatewayAPI": {"hosts": ["shop example"]}}, "at '/gatewayAPI/hosts/0': 'shop example' does not match pattern"),
    ({"otlp": {"endpoint": "collector:4318"}}, "at '/otlp/endpoint': 'collector:4318' does not match pattern"),
    (
        {"podDisruptionBudget": {"maxUnavailable": "150%"}},
        "at '/podDisruptionBudget/maxUnavailable': '150%' does not match pattern",
    ),
    ({"network": {"ipFamilies": ["IPv5"]}}, "at '/network/ipFamilies/0': value must be one of 'IPv4', 'IPv6'"),
    (
        {"networkPolicy": {"flows": {"dns": {"direction": "out"}}}},
        "at '/networkPolicy/flows/dns/direction': value must be one of 'ingress', 'egress'",
    ),
    (
        {"authorizationPolicies": {"scrapers": ["prometheus"]}},
        "at '/authorizationPolicies/scrapers/0': 'prometheus' does not match pattern",
    ),
    (
        {"image": {"registry": "oci://registry.example"}},
        "at '/image/registry': 'oci://registry.example' does not match",
    ),
    ({"image": {"tag": "1.0 beta"}}, "at '/image/tag': '1.0 beta' does not match pattern"),
    ({"services": {"details": {"image": "Bookinfo Details"}}}, "at '/services/details/image': 'Bookinfo Details' does"),
    (
        {"versionDefaults": {"image": {"repository": "books:1.0:2"}}},
        "at '/versionDefaults/image/repository': 'books:1.0:2' does not match pattern",
    ),
    (
        {"services": {"reviews": {"versions": {"v1": {"image": {"tag": ".hidden"}}}}}},
        "at '/services/reviews/versions/v1/image/tag': '.hidden' does not match pattern",
    ),
    ({"podMonitor": {"interval": "often"}}, "at '/podMonitor/interval': 'often' does not match pattern"),
]

BY_EACH_OTHER: list[tuple[dict[str, Any], str]] = [
    (
        {"istioGateway": {"enabled": True}, "gatewayAPI": {"enabled": True}},
        "istioGateway.enabled and gatewayAPI.enabled would both serve productpage: turn one off",
    ),
    (
        {**SICK, "httpRoutes": {"enabled": True}},
        "virtualServices.enabled and httpRoutes.enabled would both route the same hosts: turn one off",
    ),
    (
        {**SICK, "destinationRules": {"enabled": False}},
        "virtualServices.enabled routes to subsets, which destinationRules names: set destinationRules.enabled",
    ),
    (SICK, "and no version has one: set services.SERVICE.versions.VERSION.weight, or canary.managed"),
    ({**SICK, "services": WEIGHTS}, "services.reviews.versions: every weight is 0, so no version would get a request"),
    (
        {**SICK, "services": {"productpage": {"versions": {"v1": {"weight": 1}}}}},
        "services.productpage.versions: a weight has no effect here, because the gateway calls productpage",
    ),
    *(
        (
            {"mesh": {"mode": "ambient"}, block: {"enabled": True}},
            f"{block}.enabled has no effect in ambient mode without a waypoint: set waypoint.enabled",
        )
        for block in ("httpRoutes", "destinationRules", "telemetry")
    ),
    (
        {
            "mesh": {"mode": "ambient"},
            "waypoint": {"enabled": True, "name": "bookinfo-gateway"},
            "gatewayAPI": {"enabled": True},
        },
        "waypoint.name bookinfo-gateway is the gateway's own name",
    ),
    *(
        (
            {"network": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": policy}},
            "network.ipFamilies names both, which Kubernetes takes only with network.ipFamilyPolicy PreferDualStack or",
        )
        for policy in ("", "SingleStack")
    ),
    ({"waypoint": {"enabled": True}}, "waypoint.enabled needs mesh.mode ambient, which is none"),
    *(
        (
            {"mesh": {"revision": "canary", "mode": mode}},
            f"there is neither a sidecar (mesh.mode is {mode}) nor a waypoint nor a gatewayAPI of class istio",
        )
        for mode in ("none", "ambient")
    ),
    *(
        (values, f"{name} in env would move reviews-v1 away from port 9080, where its probes and its Service look")
        for name, values in (
            ("PORT", {"services": {"reviews": {"env": {"PORT": 8080}}}}),
            ("port", {"services": {"reviews": {"versions": {"v1": {"env": {"port": 8080}}}}}}),
            ("HOST", {"services": {"reviews": {"env": {"HOST": "127.0.0.1"}}}}),
            ("UDS", {"services": {"reviews": {"env": {"UDS": "/tmp/own"}}}}),
        )
    ),
    *(
        ({scope: values}, "DRAIN_SECONDS in env is not held against the grace period: set shutdown.drainSeconds")
        for scope, values in (
            ("env", {"DRAIN_SECONDS": 60}),
            ("versionDefaults", {"env": {"DRAIN_SECONDS": 60}}),
            ("services", {"details": {"versions": {"v1": {"env": {"DRAIN_SECONDS": 60}}}}}),
        )
    ),
    *(
        ({scope: values}, "VERSION in the env of several versions would make them one")
        for scope, values in (
            ("env", {"VERSION": "v1"}),
            ("versionDefaults", {"env": {"VERSION": "v1"}}),
            ("services", {"reviews": {"env": {"VERSION": "v1"}}}),
            # Whatever stands beside it, and in whatever case.
            ("services", {"reviews": {"env": {"version": "v1", "LOG_LEVEL": "a\nb"}}}),
            ("versionDefaults", {"env": {"VERSION": "v1", "LOG_LEVEL": "a<b"}}),
        )
    ),
    (
        {"env": {"SERVICE_VERSION": "v1"}},
        "SERVICE_VERSION in env has no effect, because the chart sets VERSION: set services.details.versions.v1.env",
    ),
    *(
        ({"services": {service: {"versions": {name: own}}}}, f"services.{service}.versions.{name}: {service} does not")
        for service, name, own in (
            ("reviews", "v4", {}),
            ("details", "v3", {}),
            ("ratings", "v-odd", {}),
            ("reviews", "v3", {"env": {"VERSION": "v4"}}),
        )
    ),
    (
        {"networkPolicy": {"enabled": True}, "otlp": {"endpoint": "http://collector.observability:14318"}},
        "networkPolicy lets nobody out to port 14318: add it to networkPolicy.flows.otlp.ports",
    ),
    (
        {"networkPolicy": {"enabled": True}, "otlp": {"endpoint": "https://collector.example/otlp"}},
        "networkPolicy lets nobody out to port 443: add it to networkPolicy.flows.otlp.ports",
    ),
    *(
        ({block: {"enabled": True}}, f"{block}.enabled needs a mesh: set mesh.mode to sidecar or ambient")
        for block in ("destinationRules", "httpRoutes", "peerAuthentication", "authorizationPolicies", "telemetry")
    ),
    (
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
        "serviceMonitor.enabled and podMonitor.enabled would scrape everything twice: turn one off",
    ),
    (
        {"mesh": {"mode": "sidecar"}, "serviceMonitor": {"enabled": True}},
        "with mesh.mode sidecar use podMonitor, which asks the sidecars",
    ),
    (
        {"session": {"secret": "sixteen-characters-or-more", "existingSecret": "mine"}},
        "session.secret and session.existingSecret exclude each other: keep one",
    ),
    *(
        (
            values,
            "may read the Deployment: set session.secret, or session.existingSecret",
        )
        for values in (
            {"services": {"productpage": {"env": {"SESSION_SECRET": "sixteen-characters-or-more"}}}},
            {"services": {"productpage": {"versions": {"v1": {"env": {"SESSION_SECRET": "sixteen-characters"}}}}}},
            {"versionDefaults": {"env": {"SESSION_SECRET": "sixteen-characters-or-more"}}},
            {"env": {"SESSION_SECRET": "sixteen-characters-or-more"}},
            {"env": {"session_secret": "sixteen-characters&more"}},
        )
    ),
    (
        {"session": {"existingSecret": "bookinfo-session"}},
        "is the chart's own name, whose Secret an upgrade would then delete, key and all: leave it empty",
    ),
    (
        {"mesh": {"mode": "sidecar"}, "ingress": {"enabled": True}, "peerAuthentication": {"enabled": True}},
        "ingress.enabled: a controller outside the mesh has no mutual TLS, which peerAuthentication.mode STRICT asks",
    ),
    *(
        (
            {**mesh, "ingress": {"enabled": True}, "authorizationPolicies": {"enabled": True}},
            "ingress.enabled: authorizationPolicies would admit none but the gateway or the waypoint to productpage",
        )
        for mesh in (
            {"mesh": {"mode": "sidecar"}, "istioGateway": {"enabled": True}},
            {"mesh": {"mode": "ambient"}, "waypoint": {"enabled": True}},
        )
    ),
    (
        {"ingress": {"enabled": True, "serviceAccount": "nginx"}},
        "ingress.serviceAccount needs a mesh: set mesh.mode to sidecar or ambient",
    ),
    (
        {"gatewayAPI": {"enabled": True, "className": "other"}},
        "gatewayAPI.className other: only of class istio the gateway's Service is known, which `helm test` calls",
    ),
    *(
        (
            {
                "mesh": {"mode": "sidecar"},
                "gatewayAPI": {"enabled": True, "className": "other", "service": "edge"},
                block: {"enabled": True},
            },
            "gatewayAPI.className other: strict mutual TLS and authorizationPolicies admit a gateway that is in",
        )
        for block in ("peerAuthentication", "authorizationPolicies")
    ),
    (
        {
            "gatewayAPI": {"enabled": True, "className": "other", "service": "edge"},
            "networkPolicy": {"enabled": True},
        },
        "which networkPolicy has to admit: set networkPolicy.productpageFrom",
    ),
    *(
        (
            {"autoscaling": {"enabled": True}, "services": {"details": details}},
            "autoscaling.enabled measures by the CPU that is asked for, and details-v1 asks for none: set requests.cpu",
        )
        for details in (
            {"resources": {"requests": {"cpu": None}}},
            {"versions": {"v1": {"resources": {"requests": {"memory": "1Gi"}}}}},
        )
    ),
    (
        {"services": {"reviews": {"versions": {"v2": {"weight": 10}}}}},
        "services.reviews.versions: a weight has no effect without routes: set virtualServices.enabled or httpRoutes",
    ),
    *(
        ({"pod": {"labels": {label: "mine"}}}, f"pod.labels: {label} is the chart's own, because Services")
        for label in ("app", "version")
    ),
    (
        {"services": {"productpage": None}},
        "tests.enabled needs productpage, which `services.productpage: null` takes away: set tests.enabled to false",
    ),
    *(
        (
            {"services": {"productpage": None}, "tests": {"enabled": False}, block: {"enabled": True}},
            f"{block}.enabled needs productpage, which `services.productpage: null` takes away",
        )
        for block in ("istioGateway", "gatewayAPI", "ingress")
    ),
    (
        {"services": {"productpage": {"versions": {"v1": None}}}},
        "services.productpage.versions is empty: give it a version",
    ),
    (
        {"autoscaling": {"minReplicas": 5, "maxReplicas": 2}},
        "autoscaling.minReplicas 5 is more than autoscaling.maxReplicas 2",
    ),
    (
        {"shutdown": {"preStopSeconds": 20, "drainSeconds": 10}},
        "preStopSeconds + drainSeconds + 10 s to finish them and to send the last traces are 40",
    ),
    (
        {"services": {"reviews": {"versions": {"v1": None, "v2": None, "v3": None}}}},
        "services.reviews.versions is empty: give it a version, or take the service away with `services.reviews: null`",
    ),
]


@pytest.mark.parametrize(("values", "message"), BY_SCHEMA, ids=[message for _, message in BY_SCHEMA])
def test_a_wrong_key_or_type_is_refused_with_its_place(helm: Helm, values: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(message)):
        helm.render(values)


@pytest.mark.parametrize(("values", "message"), BY_EACH_OTHER, ids=[message for _, message in BY_EACH_OTHER])
def test_values_that_do_not_fit_each_other_are_refused_with_a_reason(
    helm: Helm, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RefusedError, match=re.escape(message)):
        helm.render(values)


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"registry": registry}}
        for registry in ("docker.io", "localhost:5000/", "[::1]:5000/books", "registry.example/a-team/book__info/x.y")
    ]
    + [{"image": {"tag": "sha-0a1B_2.3"}}, {"versionDefaults": {"image": {"repository": "localhost:5000/books/all"}}}]
    + [
        {"services": {"details": {"resources": None, "env": None}}},
        {"services": {"reviews": {"versions": {"candidate": {"env": {"VERSION": "v2"}}}}}},
        {"services": {"reviews": {"versions": {"v4": {"image": {"repository": "our-reviews"}}}}}},
        {"services": {"productpage": {"versions": {"v7": {}}}}},
        {"networkPolicy": {"enabled": True}, "otlp": {"endpoint": "http://collector.observability:4318/otlp"}},
    ]
    # A limit is a request where there is no other.
    + [
        {
            "autoscaling": {"enabled": True},
            "services": {"details": {"resources": {"requests": {"cpu": None}, "limits": {"cpu": 1}}}},
        }
    ],
    ids=str,
)
def test_what_is_right_is_not_refused(helm: Helm, values: dict[str, Any]) -> None:
    assert helm.render(values)


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(RefusedError, match=r"requires kubeVersion: >=1\.32\.0-0 which is incompatible"):
        helm.render(kubernetes="1.31.9")

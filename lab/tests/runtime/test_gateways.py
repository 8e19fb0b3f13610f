"""Which gateways the applied objects ask for. That they run: tests/lab/test_gateways.py."""

from pathlib import Path

import pytest

from bookinfo_lab.resources import workloads
from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.runtime import gateways
from bookinfo_lab.runtime.gateways import Wanted

API = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shop, namespace: market}
spec:
  gatewayClassName: istio
  infrastructure: {labels: {team: sales}}
  listeners:
    - {name: a, port: 8080, protocol: HTTP, hostname: a.example}
    - {name: b, port: 8080, protocol: HTTP}
    - {name: c, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: shop}]}}
"""

DEPLOYMENT = """
apiVersion: v1
kind: Service
metadata: {name: egress}
spec:
  selector: {istio: egress}
  ports: [{port: 80, name: http, targetPort: 8080}, {port: 443, name: https, targetPort: tls}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: egress}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: egress}
spec:
  replicas: 1
  selector: {matchLabels: {istio: egress}}
  template:
    metadata:
      labels: {istio: egress}
      annotations: {inject.istio.io/templates: gateway}
    spec:
      serviceAccountName: egress
      containers: [{name: istio-proxy, image: auto, ports: [{containerPort: 8443, name: tls}]}]
"""


def wanted(rules: str = "", objects: str = "") -> list[Wanted]:
    read = workloads.parse(read_documents(objects, "test.yaml") if objects else [], {})
    return gateways.wanted(Rules.parse(read_documents(rules, "test.yaml") if rules else []), read)


def test_a_gateway_of_the_gateway_api_has_a_proxy_as_istio_names_and_labels_it() -> None:
    (found,) = wanted(API)

    assert (found.name, found.namespace, found.service_account, found.resource) == (
        "shop-istio",
        "market",
        "shop-istio",
        "shop",
    )
    assert found.labels == {
        "team": "sales",
        "gateway.networking.k8s.io/gateway-name": "shop",
        "gateway.networking.k8s.io/gateway-class-name": "istio",
    }


def test_its_ports_are_published_and_the_mesh_reaches_it_by_a_service_of_its_name() -> None:
    (found,) = wanted(API)
    (service,) = gateways.services([found])

    assert found.published == {8080: "http", 443: "https"}
    assert service.host == "shop-istio.market.svc.cluster.local"
    assert [(port.number, port.name) for port in service.ports] == [(8080, "http-8080"), (443, "https-443")]


def test_two_gateways_of_one_name_are_refused() -> None:
    with pytest.raises(ManifestError) as caught:
        wanted(API + "---" + API.replace("market", "fair"))
    assert caught.value.code == "gateway-exists"


def test_a_gateway_deployment_listens_where_its_services_lead_to() -> None:
    (found,) = wanted(objects=DEPLOYMENT)

    assert (found.name, found.service_account, found.resource, found.published) == ("egress", "egress", "", {})
    assert found.within == {80: 8080, 443: 8443}


def test_a_gateway_deployment_without_replicas_is_none() -> None:
    assert wanted(objects=DEPLOYMENT.replace("replicas: 1", "replicas: 0")) == []


def test_the_projects_egress_gateway_is_one() -> None:
    file = Path(__file__).parents[3] / "kubernetes/egress-gateway.yaml"
    (found,) = wanted(objects=file.read_text())

    assert (found.name, found.within) == ("istio-egressgateway", {80: 8080, 443: 8443})

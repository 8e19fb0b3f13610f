"""A topology with the services of Bookinfo, and the translated configuration of its proxies."""

from collections.abc import Callable
from typing import Any

import pytest

from bookinfo_lab.resources.documents import read_documents
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Gateway, Service, ServicePort, Topology, Workload
from bookinfo_lab.translate import translate
from bookinfo_lab.translate.xds import ProxyConfig

Json = dict[str, Any]


def _workload(app: str, version: str, number: int, namespace: str = "default") -> Workload:
    return Workload(
        name=f"{app}-{version}",
        deployment=f"{app}-{version}",
        namespace=namespace,
        labels={"app": app, "version": version},
        service_account=f"bookinfo-{app}",
        address=f"127.64.0.{number}",
        ports={"http": 9080},
    )


def _service(app: str, namespace: str = "default", *numbers: int) -> Service:
    ports = tuple(ServicePort(number, f"http-{number}", "http") for number in numbers or (9080,))
    return Service(app, namespace, ports, {"app": app})


TOPOLOGY = Topology(
    services=(
        _service("productpage"),
        _service("reviews"),
        _service("ratings"),
        _service("two-ports", "default", 80, 81),
        _service("far", "other"),
    ),
    workloads=(
        _workload("productpage", "v1", 10),
        _workload("reviews", "v1", 11),
        _workload("reviews", "v2", 12),
        _workload("ratings", "v1", 13),
        _workload("far", "v1", 14, "other"),
    ),
    gateways=(
        Gateway(
            "gateway", "istio-system", {"istio": "ingressgateway"}, "edge", "127.64.0.2", {8080: ("127.0.0.1", 8080)}
        ),
    ),
)


class Translated:
    """The configuration of one proxy."""

    def __init__(self, config: ProxyConfig) -> None:
        self.config = config

    def host(self, name: str) -> Json:
        """The outbound virtual host (of a gateway: the only one) with this name."""
        configuration = next(item for key, item in self.config.routes.items() if not key.startswith("inbound"))
        return next(host for host in configuration["virtual_hosts"] if host["name"] == name)

    def routes(self, name: str) -> list[Json]:
        return list(self.host(name)["routes"])

    def cluster(self, name: str) -> Json:
        return next(cluster for cluster in self.config.clusters if cluster["name"] == name)

    @property
    def clusters(self) -> set[str]:
        return {cluster["name"] for cluster in self.config.clusters}


@pytest.fixture
def topology() -> Topology:
    return TOPOLOGY


@pytest.fixture
def translated() -> Callable[..., Translated]:
    """`translated(rules, proxy)`: the configuration of `proxy` (default: productpage-v1) under `rules` (YAML)."""

    def translate_for(text: str = "", proxy: str = "productpage-v1") -> Translated:
        rules = Rules.parse(read_documents(text, "test.yaml")) if text else Rules()
        return Translated(translate(TOPOLOGY, rules)[proxy])

    return translate_for

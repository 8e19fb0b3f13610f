"""Services: which pods they select, and their DNS names."""

from bookinfo_lab.resources.topology import Service, ServicePort, Topology, Workload

PORTS = (ServicePort(9080, "http", 9080),)


def pod(namespace: str) -> Workload:
    return Workload("a-1", "a", namespace, {"app": "a", "version": "v1"}, "a", "127.64.0.10", {"http": 9080})


def test_service_selects_pods_of_its_namespace_with_its_labels() -> None:
    service = Service("a", "default", PORTS, {"app": "a"})

    assert service.selects(pod("default"))
    assert not service.selects(pod("other"))
    assert not Service("a", "default", PORTS, {"app": "b"}).selects(pod("default"))


def test_service_without_selector_selects_nothing() -> None:
    assert not Service("a", "default", PORTS, {}).selects(pod("default"))


def test_short_name_works_only_in_the_namespace_of_the_service() -> None:
    service = Service("a", "default", PORTS, {})

    assert service.dns_names("default") == ("a", "a.default", "a.default.svc", "a.default.svc.cluster.local")
    assert service.dns_names("other") == ("a.default", "a.default.svc", "a.default.svc.cluster.local")


def test_service_of_a_pod_is_in_its_namespace() -> None:
    services = (Service("far", "other", PORTS, {"app": "a"}), Service("near", "default", PORTS, {"app": "a"}))
    topology = Topology(services=services, workloads=(), gateways=())

    assert topology.service_of(pod("default")) == services[1]
    assert topology.service_of(pod("third")) is None

"""The rows of `bookinfo status`."""

from types import SimpleNamespace
from typing import Any

from bookinfo_lab.resources.topology import Service, ServicePort, Topology, Workload
from bookinfo_lab.runtime.supervisor import pod_status


def test_status_shows_the_service_of_the_pods_own_namespace() -> None:
    ports = (ServicePort(9080, "http", 9080),)
    services = (Service("far", "other", ports, {"app": "a"}), Service("near", "default", ports, {"app": "a"}))
    workload = Workload("a-1", "a", "default", {"app": "a"}, "a", "127.64.0.10", {"http": 9080})
    pod: Any = SimpleNamespace(
        workload=workload, app=SimpleNamespace(pid=1), sidecar=None, state="running", processes=()
    )

    assert pod_status(pod, Topology(services, (workload,), ()))["service"] == "near"

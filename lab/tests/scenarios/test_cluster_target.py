"""A cluster as the target. A fake kubectl stores the cluster in a file."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bookinfo_kubectl import ConnectionLostError, Kubectl
from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.resources.store import key
from bookinfo_lab.scenarios.cluster_target import ClusterTarget, Settings
from bookinfo_lab.scenarios.journal import Journal, journal_path
from bookinfo_lab.scenarios.mesh_detection import gateway_url, mesh
from bookinfo_lab.scenarios.model import Counter, LogPattern, Mesh, Pod, Traffic
from bookinfo_lab.scenarios.target import NotObservableError
from bookinfo_testing.fake_kubectl import FakeKubectl

Json = dict[str, Any]


def deployment(name: str, image: str, replicas: int = 1, **metadata: Any) -> Json:
    labels = {"app": name.partition("-")[0], "version": name.partition("-")[2] or "v1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "books", **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"spec": {"containers": [{"name": name, "image": image}]}},
        },
    }


def virtual_service(name: str, subset: str, **metadata: Any) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, **metadata},
        "spec": {"hosts": [name], "http": [{"route": [{"destination": {"host": name, "subset": subset}}]}]},
    }


def document(body: Json) -> Document:
    (found,) = read_documents(json.dumps(body), "test")
    return found


def pod(name: str, labels: dict[str, str], *containers: str, **metadata: Any) -> Json:
    return {
        "metadata": {"name": name, "labels": labels, **metadata},
        "spec": {"containers": [{"name": container} for container in containers or ("app", "istio-proxy")]},
    }


class Cluster(FakeKubectl):
    """A cluster with one Deployment."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.add(deployment("productpage-v1", "registry.example/team/bookinfo-productpage:1.2.3"))

    def add(self, body: Json) -> None:
        known = {"uid": "1", "resourceVersion": "1", "generation": 4, "creationTimestamp": "2026-01-01T00:00:00Z"}
        stored = {**body, "metadata": {**body["metadata"], **known, "managedFields": []}, "status": {"ready": 1}}
        name = f"{body['kind'].lower()}/{body['metadata']['name']}"
        self.update(objects=self.state["objects"] | {name: stored})

    def __getitem__(self, name: str) -> Json:
        found: Json = self.state["objects"][name]
        return found

    def __contains__(self, name: str) -> bool:
        return name in self.state["objects"]

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.state["calls"] if call]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster.json")


@pytest.fixture
def kubectl(tmp_path: Path, cluster: Cluster) -> Kubectl:
    return Kubectl("test", "books", cluster.command, retry_seconds=5.0)


@pytest.fixture
def journals() -> Iterator[list[Journal]]:
    """The open journals."""
    found: list[Journal] = []
    yield found
    for journal in found:
        journal.close()


@pytest.fixture
def target(kubectl: Kubectl, tmp_path: Path, journals: list[Journal]) -> Callable[..., ClusterTarget]:
    def make(*, take_over: bool = False) -> ClusterTarget:
        settings = Settings("books", "http://gateway.example", take_over, 0.0, Mesh.SIDECAR)
        journals.append(Journal(tmp_path / "journal.json"))
        return ClusterTarget(kubectl, settings, journals[-1])

    return make


def restorable(body: Json) -> tuple[Any, Any, Any]:
    """Return the specification, the labels, and the annotations without the revision."""
    annotations = dict(body["metadata"].get("annotations", {}))
    annotations.pop("deployment.kubernetes.io/revision", None)
    return body["spec"], body["metadata"].get("labels", {}), annotations


def test_new_object_is_created_and_deleted_on_restore(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster_target = target()
    cluster_target.set_state([document(virtual_service("reviews", "v1"))])
    assert cluster["virtualservice/reviews"]["metadata"]["namespace"] == "books"
    cluster_target.restore()
    assert "virtualservice/reviews" not in cluster


def test_changed_object_is_restored_exactly(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    before = virtual_service("reviews", "v3", labels={"team": "books"}, annotations={"note": "ours"})
    cluster.add(before)
    cluster_target = target()
    cluster_target.set_state([document(virtual_service("reviews", "v1"))])
    assert restorable(cluster["virtualservice/reviews"]) == restorable(virtual_service("reviews", "v1"))
    cluster_target.restore()
    assert restorable(cluster["virtualservice/reviews"]) == restorable(before)


def test_obsolete_object_is_restored_immediately(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    before = virtual_service("reviews", "v3")
    cluster.add(before)
    cluster_target = target()
    cluster_target.set_state([document(virtual_service("reviews", "v1")), document(virtual_service("ratings", "v1"))])
    cluster_target.set_state([])
    assert restorable(cluster["virtualservice/reviews"]) == restorable(before)
    assert "virtualservice/ratings" not in cluster


def test_removed_object_is_deleted_and_restored(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    before = virtual_service("bookinfo", "v1", labels={"team": "books"})
    cluster.add(before)
    cluster_target = target()
    cluster_target.set_state([], {key(document(before))})
    assert "virtualservice/bookinfo" not in cluster
    cluster_target.restore()
    assert restorable(cluster["virtualservice/bookinfo"]) == restorable(before)


def test_unchanged_object_is_not_written_again(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster_target = target()
    cluster_target.set_state([document(virtual_service("reviews", "v1"))])
    writes = len(cluster.verbs)
    cluster_target.set_state([document(virtual_service("reviews", "v1"))])
    assert len(cluster.verbs) == writes


def test_existing_deployment_keeps_its_image_when_scaled(
    cluster: Cluster, target: Callable[..., ClusterTarget]
) -> None:
    before = deployment("ratings-v1", "registry.example/own:7", replicas=2)
    cluster.add(before)
    cluster_target = target()
    cluster_target.set_state([document(deployment("ratings-v1", "bookinfo-ratings:0.1.0", replicas=0))])
    scaled = cluster["deployment/ratings-v1"]["spec"]
    assert scaled["replicas"] == 0
    assert scaled["template"]["spec"]["containers"][0]["image"] == "registry.example/own:7"
    cluster_target.restore()
    assert restorable(cluster["deployment/ratings-v1"]) == restorable(before)


def test_new_deployment_uses_the_registry_of_productpage(
    cluster: Cluster, target: Callable[..., ClusterTarget]
) -> None:
    target().set_state([document(deployment("client", "bookinfo-client:0.1.0"))])
    (container,) = cluster["deployment/client"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/team/bookinfo-client:1.2.3"
    assert "rollout" in cluster.verbs


@pytest.mark.parametrize(
    ("metadata", "manager"),
    [
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "books:1"}}, "argocd"),
        ({"ownerReferences": [{"kind": "Rollout", "name": "reviews"}]}, "Rollout reviews"),
    ],
)
def test_object_of_another_manager_is_not_changed(
    cluster: Cluster, target: Callable[..., ClusterTarget], metadata: Json, manager: str
) -> None:
    cluster.add(virtual_service("reviews", "v3", **metadata))
    with pytest.raises(NotObservableError, match=f"VirtualService reviews is managed by {manager}.*--take-over"):
        target().set_state([document(virtual_service("reviews", "v1"))])
    assert not {"create", "replace", "delete"} & set(cluster.verbs)


def test_object_of_another_manager_is_restored_after_take_over(
    cluster: Cluster, target: Callable[..., ClusterTarget]
) -> None:
    before = virtual_service("reviews", "v3", labels={"app.kubernetes.io/managed-by": "Helm"})
    cluster.add(before)
    cluster_target = target(take_over=True)
    cluster_target.set_state([document(virtual_service("reviews", "v1"))])
    cluster_target.restore()
    assert restorable(cluster["virtualservice/reviews"]) == restorable(before)


def test_restore_reports_the_difference_from_the_original(
    cluster: Cluster, target: Callable[..., ClusterTarget]
) -> None:
    cluster.add(virtual_service("reviews", "v3", labels={"team": "books"}))
    cluster_target = target()
    cluster_target.set_state([document(virtual_service("reviews", "v1")), document(virtual_service("ratings", "v1"))])
    cluster.update(drops_labels_of="virtualservice/reviews")
    with pytest.raises(LabError, match=r'VirtualService reviews differs from its original:(?s:.*)-   "team": "books"'):
        cluster_target.restore()
    assert "virtualservice/ratings" not in cluster


def test_manifest_is_adapted_to_the_namespace(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "edge"},
        "spec": {"rules": [{"from": [{"source": {"principals": ["cluster.local/ns/default/sa/client"]}}]}]},
    }
    target().set_state([document(policy)])
    assert "cluster.local/ns/books/sa/client" in json.dumps(cluster["authorizationpolicy/edge"])


def test_pod_traffic_is_sent_in_the_pod(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    (result,) = target().send(Traffic(Pod("client"), "http://127.0.0.1:1/"))
    assert (result.status, bool(result.error)) == (0, True)
    assert cluster.state["calls"][-1][:5] == ["exec", "-i", "deployment/client", "-c", "client"]


class _Echo(BaseHTTPRequestHandler):
    """Responds with the Host header."""

    def do_GET(self) -> None:
        name = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


def test_mesh_host_is_called_at_its_dns_name(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    with HTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        here = f"127.0.0.1:{server.server_address[1]}"
        (result,) = target().send(Traffic(Pod("client"), "http://books.example/", dns_name=here))
        server.shutdown()
        thread.join()
    assert (result.status, result.body) == (200, "books.example"), result.error


def test_count_adds_the_statistics_of_all_pods(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster.add(deployment("client", "bookinfo-client:1"))
    labels = {"app": "client", "version": "v1"}
    pods = [pod("a", labels), pod("b", labels), pod("c", {"app": "other"})]
    cluster.update(pods=pods, stats="x.rq: 3", metrics="rq{} 4.0")
    cluster_target = target()
    assert cluster_target.count(Counter("client", r"x\.rq")) == 6
    assert cluster_target.count(Counter("client", r"rq\{\}", application=True)) == 8


def test_statistic_that_istio_omits_is_not_observable(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster.add(deployment("client", "bookinfo-client:1"))
    cluster.update(pods=[pod("a", {"app": "client", "version": "v1"})], stats="something.else: 3")
    with pytest.raises(NotObservableError, match="proxyStatsMatcher"):
        target().count(Counter("client", r"x\.rq"))


def test_log_lines_of_the_sidecar_are_counted(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster.add(deployment("client", "bookinfo-client:1"))
    cluster.update(pods=[pod("a", {"app": "client", "version": "v1"})], log="GET /old")
    cluster_target = target()
    log = LogPattern("client", "GET")
    mark = cluster_target.log_mark(log)
    cluster.update(log="GET /old\nGET /\nPOST /\nGET /")
    assert cluster_target.log_lines(log, mark) == 2


def test_statistic_names_are_adapted_to_the_namespace(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster.add(deployment("client", "bookinfo-client:1"))
    stats = "cluster.outbound|9080||ratings.books.svc.cluster.local;.upstream_rq_2xx: 5"
    cluster.update(pods=[pod("a", {"app": "client", "version": "v1"})], stats=stats)
    pattern = r"cluster\.outbound\|9080\|\|ratings\.default\.svc\.cluster\.local;?\.upstream_rq_2xx"
    assert target().count(Counter("client", pattern)) == 5


def test_pod_without_a_sidecar_is_not_observable(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster.add(deployment("client", "bookinfo-client:1"))
    cluster.update(pods=[pod("a", {"app": "client", "version": "v1"}, "client")])
    cluster_target = target()
    with pytest.raises(NotObservableError, match="client has no sidecar"):
        cluster_target.count(Counter("client", "x"))
    with pytest.raises(NotObservableError, match="client has no sidecar"):
        cluster_target.log_mark(LogPattern("client", "GET"))


def test_object_keeps_its_own_namespace(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    elsewhere = virtual_service("reviews", "v1", namespace="istio-system")
    cluster_target = target()
    cluster_target.set_state([document(elsewhere)])
    assert cluster["virtualservice/reviews"]["metadata"]["namespace"] == "istio-system"
    cluster_target.restore()
    assert "virtualservice/reviews" not in cluster


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["get", "create", "replace", "delete"])
def test_lost_connection_is_retried(
    cluster: Cluster, target: Callable[..., ClusterTarget], verb: str, when: str
) -> None:
    before = virtual_service("reviews", "v3")
    cluster.add(before)
    cluster_target = target()
    cluster.update(loss={"verb": verb, "when": when, "times": 2})
    cluster_target.set_state([document(virtual_service("reviews", "v1")), document(virtual_service("ratings", "v1"))])
    assert restorable(cluster["virtualservice/reviews"]) == restorable(virtual_service("reviews", "v1"))
    cluster_target.restore()
    assert restorable(cluster["virtualservice/reviews"]) == restorable(before)
    assert "virtualservice/ratings" not in cluster


def test_next_run_restores_objects_after_a_lost_connection(
    cluster: Cluster,
    target: Callable[..., ClusterTarget],
    journals: list[Journal],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = virtual_service("reviews", "v3")
    cluster.add(before)
    cluster_target = target()
    monkeypatch.setattr(cluster_target._kubectl, "_retry_seconds", 0.0)
    cluster_target.set_state([document(virtual_service("reviews", "v1"))])
    cluster.update(loss={"verb": "any", "when": "before", "times": 1000})
    with pytest.raises(LabError, match=r"(?s)Unable to connect.*the next `bookinfo verify` of this"):
        cluster_target.restore()
    journals.pop().close()
    cluster.update(loss={})
    next_time = target()
    next_time.restore()
    assert restorable(cluster["virtualservice/reviews"]) == restorable(before)
    assert not (tmp_path / "journal.json").exists()


def test_traffic_is_not_retried_after_a_lost_connection(cluster: Cluster, target: Callable[..., ClusterTarget]) -> None:
    cluster.update(loss={"verb": "exec", "when": "before", "times": 1})
    with pytest.raises(ConnectionLostError):
        target().send(Traffic(Pod("client"), "http://127.0.0.1:1/"))


def test_second_verification_of_a_namespace_is_rejected(target: Callable[..., ClusterTarget]) -> None:
    one = target()
    with pytest.raises(LabError, match="another verification of this namespace is running"):
        target()
    assert one.mesh is Mesh.SIDECAR


def test_invalid_journal_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text("[[1, 2]]")
    with pytest.raises(LabError, match=r"journal.json: invalid journal.*move the file away"):
        Journal(tmp_path / "journal.json")


def test_similar_contexts_have_separate_journals(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert journal_path("a/b", "books", environ) != journal_path("a:b", "books", environ)


AMBIENT = {"ambient.istio.io/redirection": "enabled"}


@pytest.mark.parametrize(
    ("containers", "annotations", "namespace", "service", "found"),
    [
        (("productpage", "istio-proxy"), {}, {}, {}, Mesh.SIDECAR),
        (("productpage",), {}, {}, {}, Mesh.NONE),
        (
            ("productpage",),
            {},
            {"istio.io/dataplane-mode": "ambient"},
            {},
            Mesh.NONE,
        ),  # the label alone does not redirect traffic
        (("productpage",), AMBIENT, {}, {}, Mesh.L4),
        (("productpage",), AMBIENT, {"istio.io/use-waypoint": "w"}, {}, Mesh.AMBIENT),
        (("productpage",), AMBIENT, {}, {"istio.io/use-waypoint": "w"}, Mesh.AMBIENT),
        (("productpage",), AMBIENT, {"istio.io/use-waypoint": "w"}, {"istio.io/use-waypoint": "none"}, Mesh.L4),
    ],
)
def test_mesh_is_detected_from_the_pods(
    cluster: Cluster,
    kubectl: Kubectl,
    containers: tuple[str, ...],
    annotations: Json,
    namespace: Json,
    service: Json,
    found: Mesh,
) -> None:
    labels = {"app": "productpage", "version": "v1"}
    cluster.update(
        pods=[pod("p", labels, *containers, annotations=annotations)],
        objects=cluster.state["objects"]
        | {
            "namespace/books": {"metadata": {"labels": namespace}},
            "service/productpage": {"metadata": {"labels": service}},
        },
    )
    assert mesh(kubectl, "books") is found


def test_native_sidecar_is_detected(cluster: Cluster, kubectl: Kubectl) -> None:
    native = pod("p", {"app": "productpage", "version": "v1"}, "productpage")
    native["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
    cluster.update(pods=[native])
    assert mesh(kubectl, "books") is Mesh.SIDECAR


def test_missing_productpage_is_an_error(cluster: Cluster, kubectl: Kubectl) -> None:
    with pytest.raises(LabError, match="no pod of productpage-v1 is running in namespace books"):
        mesh(kubectl, "books")


def test_missing_gateway_error_names_the_option(cluster: Cluster, kubectl: Kubectl) -> None:
    with pytest.raises(LabError, match=r"port-forward service/productpage.*--gateway"):
        gateway_url(kubectl)


@pytest.mark.parametrize(
    ("ingress", "url"),
    [
        ([{"ip": "192.0.2.1"}], "http://192.0.2.1"),
        ([{"ip": "2001:db8::1"}], "http://[2001:db8::1]"),
        ([{"hostname": "lb.example"}], "http://lb.example"),
    ],
)
def test_gateway_url_comes_from_the_service_status(
    cluster: Cluster, kubectl: Kubectl, ingress: list[Json], url: str
) -> None:
    cluster.update(objects={"service/istio-ingressgateway": {"status": {"loadBalancer": {"ingress": ingress}}}})
    assert gateway_url(kubectl) == url


def test_gateway_without_an_address_is_an_error(cluster: Cluster, kubectl: Kubectl) -> None:
    cluster.update(objects={"service/istio-ingressgateway": {"status": {"loadBalancer": {}}}})
    with pytest.raises(LabError, match="--gateway"):
        gateway_url(kubectl)

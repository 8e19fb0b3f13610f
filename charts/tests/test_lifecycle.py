"""Install, upgrade, roll back, test and uninstall with a real Helm and a fake Kubernetes API server."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from charts.tests.rendering import CHART, SERVICES, Helm, HelmError

from bookinfo_testing import fake_kubernetes
from bookinfo_testing.fake_kubernetes import FakeKubernetes

Release = Callable[..., str]

ISTIO = ("--values", str(CHART / "values-istio.yaml"))
CANARY = (
    *("--values", str(CHART / "values-istio.yaml"), "--set", "virtualServices.enabled=true"),
    *("--set", "services.reviews.versions.v1.weight=90,services.reviews.versions.v2.weight=10"),
)

TEST_PODS = ("bookinfo-test-edges", "bookinfo-test-gateway", "bookinfo-test-stranger")


@pytest.fixture
def cluster() -> Iterator[tuple[FakeKubernetes, str]]:
    with fake_kubernetes.serve() as started:
        yield started


@pytest.fixture
def stored(cluster: tuple[FakeKubernetes, str]) -> FakeKubernetes:
    """The objects of the fake API server and the changes that it received."""
    return cluster[0]


@pytest.fixture
def release(helm: Helm, cluster: tuple[FakeKubernetes, str]) -> Release:
    """Run `helm COMMAND books ARGUMENTS` in the namespace `shop` of the fake API server."""

    def run(command: str, *arguments: str) -> str:
        chart = [str(CHART)] if command in ("install", "upgrade") else []
        target = ["--namespace", "shop", "--kube-apiserver", cluster[1]]
        return helm.run(command, "books", *chart, *arguments, *target)

    return run


def changes(cluster: FakeKubernetes, since: int) -> list[tuple[str, str, str]]:
    """Return the changes to the objects of the release, without Helm's own records."""
    return [change for change in cluster.changes[since:] if not change[2].startswith("sh.helm.release")]


def session_key(cluster: FakeKubernetes) -> str:
    key: str = cluster.objects_of("Secret")["bookinfo-session"]["data"]["secret"]
    return key


def test_generated_session_key_survives_upgrade_and_rollback(release: Release, stored: FakeKubernetes) -> None:
    release("install")
    generated = session_key(stored)
    release("upgrade", "--set", "services.reviews.versions.v1.replicas=2")
    assert session_key(stored) == generated
    release("rollback", "1")
    assert session_key(stored) == generated


def test_each_release_has_its_own_session_key(helm: Helm) -> None:
    keys = []
    for _ in range(2):
        with fake_kubernetes.serve() as (stored, address):
            helm.run("install", "books", str(CHART), "--namespace", "shop", "--kube-apiserver", address)
            keys.append(session_key(stored))
    assert keys[0] != keys[1]


def test_configured_session_key_replaces_the_generated_one(release: Release, stored: FakeKubernetes) -> None:
    release("install")
    release("upgrade", "--set", "session.secret=sixteen-characters-or-more")
    assert session_key(stored) == "c2l4dGVlbi1jaGFyYWN0ZXJzLW9yLW1vcmU="


def test_upgrade_replaces_only_changed_objects(release: Release, stored: FakeKubernetes) -> None:
    release("install")
    before = len(stored.changes)
    release("upgrade", "--set", "services.reviews.versions.v2.env.LOG_LEVEL=debug")
    assert changes(stored, before) == [("replace", "Deployment", "reviews-v2")]


def test_rollback_restores_the_previous_objects(release: Release, stored: FakeKubernetes) -> None:
    def specs() -> dict[tuple[str, str, str], object]:
        return {key: item.get("spec") for key, item in stored.objects.items() if "helm.release" not in key[2]}

    release("install")
    installed = specs()
    release("upgrade", *ISTIO, "--set", "services.reviews.versions.v3=null")
    assert specs() != installed
    release("rollback", "1")
    assert specs() == installed


def test_upgrades_never_change_a_selector(release: Release, stored: FakeKubernetes) -> None:
    def selectors() -> dict[str, object]:
        return {name: item["spec"]["selector"] for name, item in stored.objects_of("Deployment").items()}

    release("install")
    installed = selectors()
    for overlay in ("values-production.yaml", "values-istio.yaml", "ci/pods-values.yaml"):
        off = ("--set", "networkPolicy.enabled=false,autoscaling.enabled=false")
        release("upgrade", "--values", str(CHART / overlay), *off)
        assert selectors() == installed


def test_helm_test_creates_policies_before_pods_and_deletes_both(release: Release, stored: FakeKubernetes) -> None:
    release("install", *ISTIO)
    installed = set(stored.objects)
    before = len(stored.changes)
    release("test")
    created = [(kind, name) for verb, kind, name in changes(stored, before) if verb == "create"]
    prerequisites = {("ServiceAccount", "bookinfo-test")}
    prerequisites |= {("AuthorizationPolicy", f"bookinfo-test-to-{service}") for service in SERVICES}
    assert set(created[: len(prerequisites)]) == prerequisites
    assert sorted(created[len(prerequisites) :]) == [("Pod", name) for name in TEST_PODS]
    assert set(stored.objects) == installed


def test_logs_of_test_pods_are_printed_before_deletion(release: Release, stored: FakeKubernetes) -> None:
    """Helm 4 reads the logs before it deletes the pods. Helm 3 reads them afterwards and fails."""
    release("install", *ISTIO)
    output = release("test", "--logs")
    for pod in TEST_PODS:
        assert f"{pod} ended" in output
    assert stored.objects_of("Pod") == {}


def test_failed_test_pod_fails_helm_test_and_is_kept(release: Release, stored: FakeKubernetes) -> None:
    release("install", *ISTIO)
    stored.failing.add("bookinfo-test-stranger")
    with pytest.raises(HelmError, match="bookinfo-test-stranger"):
        release("test", "--timeout", "20s")
    assert "bookinfo-test-stranger" in stored.objects_of("Pod")
    stored.failing.clear()
    release("test")
    assert stored.objects_of("Pod") == {}


def test_documented_transfer_of_weights_keeps_the_route(release: Release, stored: FakeKubernetes) -> None:
    """The commands are those of the chart's README."""
    release("install", *CANARY)
    route = stored.objects_of("VirtualService")["reviews"]
    route["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep"  # kubectl annotate
    release("upgrade", "--reuse-values", "--set", "canary.managed=true")
    assert stored.objects_of("VirtualService")["reviews"]["spec"] == route["spec"]
    before = len(stored.changes)
    release("upgrade", "--reuse-values", "--set", "services.reviews.versions.v1.weight=50")
    assert changes(stored, before) == []


def test_managed_canary_removes_a_route_without_keep_annotation(release: Release, stored: FakeKubernetes) -> None:
    """This shows that the first documented command of the transfer is necessary."""
    release("install", *CANARY)
    release("upgrade", "--reuse-values", "--set", "canary.managed=true")
    assert "reviews" not in stored.objects_of("VirtualService")


def test_uninstall_deletes_every_object(release: Release, stored: FakeKubernetes) -> None:
    release("install", *ISTIO)
    release("test")
    release("uninstall")
    assert stored.objects == {}


def test_second_release_in_a_namespace_is_rejected(
    helm: Helm, release: Release, cluster: tuple[FakeKubernetes, str]
) -> None:
    release("install")
    with pytest.raises(HelmError, match="exists and cannot be imported"):
        helm.run("install", "other", str(CHART), "--namespace", "shop", "--kube-apiserver", cluster[1])


def test_package_can_be_installed(helm: Helm, cluster: tuple[FakeKubernetes, str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        helm.run("package", str(CHART), "--destination", directory)
        (archive,) = Path(directory).glob("*.tgz")
        helm.run("install", "books", str(archive), "--namespace", "shop", "--kube-apiserver", cluster[1], *ISTIO)
    assert set(cluster[0].objects_of("Deployment")) >= {"productpage-v1", "reviews-v3"}

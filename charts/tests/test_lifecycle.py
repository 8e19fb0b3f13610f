"""Install, upgrade, roll back, test, uninstall: a real Helm against a stand-in for the Kubernetes API."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from charts.tests.rendering import CHART, SERVICES, Helm, RefusedError
from tests.chart.stand_in import Cluster, serving

Release = Callable[..., str]

ISTIO = ("--values", str(CHART / "values-istio.yaml"))
CANARY = (
    *("--values", str(CHART / "values-istio.yaml"), "--set", "virtualServices.enabled=true"),
    *("--set", "services.reviews.versions.v1.weight=90,services.reviews.versions.v2.weight=10"),
)


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, str]]:
    with serving() as started:
        yield started


@pytest.fixture
def stored(cluster: tuple[Cluster, str]) -> Cluster:
    """What the cluster holds, and what was done to it."""
    return cluster[0]


@pytest.fixture
def release(helm: Helm, cluster: tuple[Cluster, str]) -> Release:
    """Runs a helm command on the release `books`: its name stands right after the command."""

    def run(command: str, *arguments: str) -> str:
        chart = [str(CHART)] if command in ("install", "upgrade") else []
        there = ["--namespace", "shop", "--kube-apiserver", cluster[1]]
        return helm.run(command, "books", *chart, *arguments, *there)

    return run


def changes(cluster: Cluster, since: int) -> list[tuple[str, str, str]]:
    """What was done to the release's objects, Helm's own records left out."""
    return [change for change in cluster.done[since:] if not change[2].startswith("sh.helm.release")]


def session_key(cluster: Cluster) -> str:
    key: str = cluster.stored("Secret")["bookinfo-session"]["data"]["secret"]
    return key


def test_a_generated_session_key_is_kept_on_upgrade_and_on_rollback(release: Release, stored: Cluster) -> None:
    release("install")
    generated = session_key(stored)
    release("upgrade", "--set", "services.reviews.versions.v1.replicas=2")
    assert session_key(stored) == generated
    release("rollback", "1")
    assert session_key(stored) == generated


def test_two_releases_have_different_session_keys(helm: Helm) -> None:
    keys = []
    for _ in range(2):
        with serving() as (stored, address):
            helm.run("install", "books", str(CHART), "--namespace", "shop", "--kube-apiserver", address)
            keys.append(session_key(stored))
    assert keys[0] != keys[1]


def test_a_given_session_key_replaces_the_generated_one(release: Release, stored: Cluster) -> None:
    release("install")
    release("upgrade", "--set", "session.secret=sixteen-characters-or-more")
    assert session_key(stored) == "c2l4dGVlbi1jaGFyYWN0ZXJzLW9yLW1vcmU="


def test_an_upgrade_touches_only_what_changed(release: Release, stored: Cluster) -> None:
    release("install")
    before = len(stored.done)
    release("upgrade", "--set", "services.reviews.versions.v2.env.LOG_LEVEL=debug")
    assert changes(stored, before) == [("replace", "Deployment", "reviews-v2")]


def test_a_rollback_restores_what_there_was(release: Release, stored: Cluster) -> None:
    def specs() -> dict[tuple[str, str, str], object]:
        return {key: item.get("spec") for key, item in stored.objects.items() if "helm.release" not in key[2]}

    release("install")
    installed = specs()
    release("upgrade", *ISTIO, "--set", "services.reviews.versions.v3=null")
    assert specs() != installed
    release("rollback", "1")
    assert specs() == installed


def test_no_upgrade_changes_a_selector(release: Release, stored: Cluster) -> None:
    def selectors() -> dict[str, object]:
        return {name: item["spec"]["selector"] for name, item in stored.stored("Deployment").items()}

    release("install")
    installed = selectors()
    for overlay in ("values-production.yaml", "values-istio.yaml", "ci/pods-values.yaml"):
        off = ("--set", "networkPolicy.enabled=false,autoscaling.enabled=false")
        release("upgrade", "--values", str(CHART / overlay), *off)
        assert selectors() == installed


def test_helm_test_makes_what_admits_its_pods_first_and_leaves_nothing(release: Release, stored: Cluster) -> None:
    release("install", *ISTIO)
    there = set(stored.objects)
    before = len(stored.done)
    release("test")
    made = [(kind, name) for verb, kind, name in changes(stored, before) if verb == "create"]
    admitting = {("ServiceAccount", "bookinfo-test")}
    admitting |= {("AuthorizationPolicy", f"bookinfo-test-to-{service}") for service in SERVICES}
    assert set(made[: len(admitting)]) == admitting
    assert sorted(made[len(admitting) :]) == [
        *(("Pod", "bookinfo-test-edges"), ("Pod", "bookinfo-test-gateway"), ("Pod", "bookinfo-test-stranger")),
    ]
    assert set(stored.objects) == there


def test_what_the_test_pods_said_can_be_read_though_they_are_cleaned_up(release: Release, stored: Cluster) -> None:
    """By Helm 4, which asks before it deletes them; Helm 3 asks afterwards, and then fails."""
    release("install", *ISTIO)
    told = release("test", "--logs")
    for pod in ("bookinfo-test-edges", "bookinfo-test-gateway", "bookinfo-test-stranger"):
        assert f"{pod} ended" in told
    assert stored.stored("Pod") == {}


def test_a_failing_test_fails_helm_and_its_pod_stays_to_be_looked_at(release: Release, stored: Cluster) -> None:
    release("install", *ISTIO)
    stored.failing.add("bookinfo-test-stranger")
    with pytest.raises(RefusedError, match="bookinfo-test-stranger"):
        release("test", "--timeout", "20s")
    assert "bookinfo-test-stranger" in stored.stored("Pod")
    stored.failing.clear()
    release("test")
    assert stored.stored("Pod") == {}


def test_weights_can_be_handed_over_without_losing_the_route(release: Release, stored: Cluster) -> None:
    """The commands of the chart's README."""
    release("install", *CANARY)
    route = stored.stored("VirtualService")["reviews"]
    route["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep"  # kubectl annotate
    release("upgrade", "--reuse-values", "--set", "canary.managed=true")
    assert stored.stored("VirtualService")["reviews"]["spec"] == route["spec"]
    before = len(stored.done)
    release("upgrade", "--reuse-values", "--set", "services.reviews.versions.v1.weight=50")
    assert changes(stored, before) == []


def test_a_route_that_is_not_kept_is_taken_away(release: Release, stored: Cluster) -> None:
    """So that the hand-over's first command is known to matter."""
    release("install", *CANARY)
    release("upgrade", "--reuse-values", "--set", "canary.managed=true")
    assert "reviews" not in stored.stored("VirtualService")


def test_uninstalling_leaves_nothing(release: Release, stored: Cluster) -> None:
    release("install", *ISTIO)
    release("test")
    release("uninstall")
    assert stored.objects == {}


def test_a_second_release_in_a_namespace_is_refused(helm: Helm, release: Release, cluster: tuple[Cluster, str]) -> None:
    release("install")
    with pytest.raises(RefusedError, match="exists and cannot be imported"):
        helm.run("install", "other", str(CHART), "--namespace", "shop", "--kube-apiserver", cluster[1])


def test_the_package_installs_as_the_folder_does(helm: Helm, cluster: tuple[Cluster, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        helm.run("package", str(CHART), "--destination", folder)
        (archive,) = Path(folder).glob("*.tgz")
        helm.run("install", "books", str(archive), "--namespace", "shop", "--kube-apiserver", cluster[1], *ISTIO)
    assert set(cluster[0].stored("Deployment")) >= {"productpage-v1", "reviews-v3"}

"""The owner of a route in a cluster, with the real kubectl and a fake API server."""

from pathlib import Path

import pytest
from canary.tests.fake_cluster import REVIEWS, Cluster

from bookinfo_canary.errors import CanaryError, RejectedError, RollbackFailedError
from bookinfo_canary.routes import VirtualService
from bookinfo_canary.stop_signals import StopSignals
from bookinfo_canary.targets import KubectlTarget, LabTarget


class FakeSleep(StopSignals):
    """Records pauses instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds


def test_weights_are_applied_server_side_with_the_canary_field_manager(cluster: Cluster) -> None:
    route = cluster.route()
    route.check(("v1", "v2"), exclusive=True)
    route.set_weights({"v1": 90, "v2": 10})
    route.check_unchanged()
    assert cluster.weights == {"v1": 90, "v2": 10}
    (call,) = [call for call in cluster.calls if "apply" in call]
    assert {"--server-side", "--field-manager=bookinfo-canary", "--namespace=shop", "--context=kind"} <= set(call)
    assert "--force-conflicts" not in call


@pytest.mark.parametrize("manager", ["helm", "argocd-controller", "kubectl-client-side-apply"])
def test_weights_of_another_manager_are_rejected(cluster: Cluster, manager: str) -> None:
    """The weights equal those that the canary would set, so the server would not report a conflict."""
    cluster.managed_by(manager, {"v1": 100})
    with pytest.raises(RejectedError, match=f"VirtualService reviews: its weights are managed by {manager}; release"):
        cluster.route().check(("v1", "v2"), exclusive=True)
    assert cluster.server.applied == []


def test_take_over_changes_the_owner_of_the_weights(cluster: Cluster) -> None:
    cluster.managed_by("helm", {"v1": 90, "v3": 10})
    route = cluster.route(take_over=True)
    route.check(("v1", "v2"), exclusive=True)
    route.set_weights({"v1": 100})
    assert cluster.weights == {"v1": 100}
    again = cluster.route()
    again.check(("v1", "v2"), exclusive=True)
    again.set_weights({"v1": 90, "v2": 10})
    assert cluster.weights == {"v1": 90, "v2": 10}


def test_take_over_replaces_a_route_with_further_rules(cluster: Cluster) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 100}, {"match": [{"uri": {"exact": "/"}}], "route": []})
    with pytest.raises(RejectedError, match="rules for some requests only, which would be lost"):
        cluster.route().check(("v1", "v2"), exclusive=True)
    route = cluster.route(take_over=True)
    route.check(("v1", "v2"), exclusive=True)
    route.set_weights({"v1": 90, "v2": 10})
    assert cluster.weights == {"v1": 90, "v2": 10}


def test_take_over_applies_only_once(cluster: Cluster) -> None:
    """The change of an operator during a release is not overwritten."""
    cluster.managed_by("helm", {"v1": 100})
    route = cluster.route(take_over=True)
    route.check(("v1", "v2"), exclusive=True)
    route.set_weights({"v1": 90, "v2": 10})
    cluster.managed_by("kubectl-edit", {"v1": 80, "v2": 20})
    with pytest.raises(CanaryError, match='conflict with "kubectl-edit"'):
        route.set_weights({"v1": 75, "v2": 25})


def test_route_to_a_third_version_is_rejected(cluster: Cluster) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 50, "v3": 50})
    with pytest.raises(RejectedError, match="also routes requests to v3; roll back first"):
        cluster.route().check(("v1", "v2"), exclusive=True)
    cluster.route().check(("v1",), exclusive=False)


def test_missing_version_is_rejected(cluster: Cluster) -> None:
    with pytest.raises(
        RejectedError, match="no DestinationRule defines the subset v9 of reviews; its requests would fail"
    ):
        cluster.route().check(("v1", "v9"), exclusive=True)


def test_change_by_another_client_is_detected(cluster: Cluster) -> None:
    route = cluster.route()
    route.set_weights({"v1": 90, "v2": 10})
    cluster.managed_by("kubectl-edit", {"v1": 100})
    with pytest.raises(CanaryError, match="another client changed the route of reviews to v1 100 %"):
        route.check_unchanged()


def test_restoring_is_retried(cluster: Cluster) -> None:
    route = cluster.route()
    route.set_weights({"v1": 90, "v2": 10})
    cluster.disconnect()

    class RecoveringCluster(FakeSleep):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            cluster.connect()

    route.restore_weights({"v1": 100}, RecoveringCluster())
    assert cluster.weights == {"v1": 100}


def test_failed_restoring_is_reported_with_the_reason(cluster: Cluster) -> None:
    route = cluster.route()
    route.set_weights({"v1": 90, "v2": 10})
    cluster.disconnect()
    signals = FakeSleep()
    with pytest.raises(RollbackFailedError, match="connection refused"):
        route.restore_weights({"v1": 100}, signals)
    assert signals.slept_seconds > 0


def test_restoring_does_not_overwrite_another_manager(cluster: Cluster) -> None:
    route = cluster.route()
    route.set_weights({"v1": 90, "v2": 10})
    cluster.managed_by("kubectl-edit", {"v1": 80, "v2": 20})
    with pytest.raises(RollbackFailedError, match=r'conflict with "kubectl-edit": \.spec\.http$'):
        route.restore_weights({"v1": 100}, FakeSleep())
    assert cluster.weights == {"v1": 80, "v2": 20}


def test_missing_kubectl_is_an_error() -> None:
    with pytest.raises(CanaryError, match="no-kubectl-here: not found; install it"):
        KubectlTarget("shop", None, ("no-kubectl-here",)).list("service")


def test_label_names_the_manager_in_a_lab(tmp_path: Path) -> None:
    lab = LabTarget()
    own_route = VirtualService().manifest(REVIEWS, {"v1": 100}, None)
    assert lab.other_managers(own_route, VirtualService()) == []
    assert lab.other_managers({"metadata": {"name": "reviews"}}, VirtualService()) == ["another client"]

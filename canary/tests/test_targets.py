"""The owner of a route in a cluster, with a fake kubectl that keeps its objects in a file."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bookinfo_canary.errors import CanaryError, RejectedError, RollbackFailedError
from bookinfo_canary.release_plan import Service
from bookinfo_canary.route_owner import RouteOwner
from bookinfo_canary.routes import VirtualService
from bookinfo_canary.stop_signals import StopSignals
from bookinfo_canary.targets import KubectlTarget, LabTarget

REVIEWS = Service("reviews", "shop")
KEY = "virtualservice.networking.istio.io/reviews"
SUBSETS = {"spec": {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}]}}


class Cluster:
    """The file in which the fake kubectl keeps its objects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write({"objects": {"destinationrule.networking.istio.io/reviews": SUBSETS}, "calls": [], "history": []})
        fake_kubectl = Path(__file__).with_name("kubectl_stand_in.py")
        self.target = KubectlTarget("shop", "kind", (sys.executable, str(fake_kubectl), str(path)))

    def read(self) -> dict[str, Any]:
        return dict(json.loads(self.path.read_text()))

    def write(self, state: dict[str, Any]) -> None:
        self.path.write_text(json.dumps(state))

    def change(self, **fields: Any) -> None:
        self.write({**self.read(), **fields})

    def managed_by(self, manager: str, weights: dict[str, int]) -> None:
        """Write a VirtualService whose weights are owned by `manager`."""
        body = VirtualService().manifest(REVIEWS, weights, None)
        fields = {"f:spec": {"f:hosts": {}, "f:http": {}}}
        body["metadata"] |= {"labels": {}, "managedFields": [{"manager": manager, "fieldsV1": fields}]}
        state = self.read()
        state["objects"][KEY] = body
        self.write(state)

    @property
    def weights(self) -> dict[str, int]:
        return VirtualService().weights(REVIEWS, self.read()["objects"][KEY])

    def route(self, *, take_over: bool = False) -> RouteOwner:
        return RouteOwner(self.target, VirtualService(), REVIEWS, take_over=take_over)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster.json")


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
    (call,) = [call for call in cluster.read()["calls"] if "apply" in call]
    assert {"--server-side", "--field-manager=bookinfo-canary", "--namespace=shop", "--context=kind"} <= set(call)
    assert "--force-conflicts" not in call


@pytest.mark.parametrize("manager", ["helm", "argocd-controller", "kubectl-client-side-apply"])
def test_weights_of_another_manager_are_rejected(cluster: Cluster, manager: str) -> None:
    """The weights equal those that the canary would set, so the server would not report a conflict."""
    cluster.managed_by(manager, {"v1": 100})
    with pytest.raises(RejectedError, match=f"VirtualService reviews: its weights are managed by {manager}; release"):
        cluster.route().check(("v1", "v2"), exclusive=True)
    assert cluster.read()["history"] == []


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
    cluster.managed_by("bookinfo-canary", {"v1": 100})
    state = cluster.read()
    state["objects"][KEY]["spec"]["http"].insert(0, {"match": [{"uri": {"exact": "/"}}], "route": []})
    cluster.write(state)
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
    cluster.change(down=True)

    class RecoveringCluster(FakeSleep):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            cluster.change(down=False)

    route.restore_weights({"v1": 100}, RecoveringCluster())
    assert cluster.weights == {"v1": 100}


def test_failed_restoring_is_reported_with_the_reason(cluster: Cluster) -> None:
    route = cluster.route()
    route.set_weights({"v1": 90, "v2": 10})
    cluster.change(down=True)
    signals = FakeSleep()
    with pytest.raises(RollbackFailedError, match="the server was refused"):
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

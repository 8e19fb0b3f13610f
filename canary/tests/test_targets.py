"""The route in a cluster, by a kubectl that keeps its cluster in a file."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bookinfo_canary.errors import CanaryError, NotRestoredError, RefusedError
from bookinfo_canary.owned import Route
from bookinfo_canary.plan import Service
from bookinfo_canary.routes import VirtualService
from bookinfo_canary.signals import Signals
from bookinfo_canary.targets import Kubectl, Lab

REVIEWS = Service("reviews", "shop")
KEY = "virtualservice.networking.istio.io/reviews"
SUBSETS = {"spec": {"host": "reviews", "subsets": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}]}}


class Cluster:
    """The file behind the stand-in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write({"objects": {"destinationrule.networking.istio.io/reviews": SUBSETS}, "calls": [], "history": []})
        stand_in = Path(__file__).with_name("kubectl_stand_in.py")
        self.target = Kubectl("shop", "kind", (sys.executable, str(stand_in), str(path)))

    def read(self) -> dict[str, Any]:
        return dict(json.loads(self.path.read_text()))

    def write(self, state: dict[str, Any]) -> None:
        self.path.write_text(json.dumps(state))

    def change(self, **fields: Any) -> None:
        self.write({**self.read(), **fields})

    def managed_by(self, manager: str, weights: dict[str, int]) -> None:
        """A VirtualService whose weights this manager wrote."""
        body = VirtualService().body(REVIEWS, weights, None)
        fields = {"f:spec": {"f:hosts": {}, "f:http": {}}}
        body["metadata"] |= {"labels": {}, "managedFields": [{"manager": manager, "fieldsV1": fields}]}
        state = self.read()
        state["objects"][KEY] = body
        self.write(state)

    @property
    def weights(self) -> dict[str, int]:
        return VirtualService().weights(REVIEWS, self.read()["objects"][KEY])

    def route(self, *, take_over: bool = False) -> Route:
        return Route(self.target, VirtualService(), REVIEWS, take_over=take_over)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster.json")


class Patient(Signals):
    """Does not really wait."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def test_weights_are_applied_on_the_server_by_a_field_manager_of_their_own(cluster: Cluster) -> None:
    route = cluster.route()
    route.examine(("v1", "v2"), alone=True)
    route.set({"v1": 90, "v2": 10})
    route.verify()
    assert cluster.weights == {"v1": 90, "v2": 10}
    (call,) = [call for call in cluster.read()["calls"] if "apply" in call]
    assert {"--server-side", "--field-manager=bookinfo-canary", "--namespace=shop", "--context=kind"} <= set(call)
    assert "--force-conflicts" not in call


@pytest.mark.parametrize("manager", ["helm", "argocd-controller", "kubectl-client-side-apply"])
def test_weights_that_somebody_else_manages_are_left_alone(cluster: Cluster, manager: str) -> None:
    """Also where they happen to be what the canary would begin with, so that the server would see no conflict."""
    cluster.managed_by(manager, {"v1": 100})
    with pytest.raises(RefusedError, match=f"VirtualService reviews: its weights are managed by {manager}; let go"):
        cluster.route().examine(("v1", "v2"), alone=True)
    assert cluster.read()["history"] == []


def test_taking_over_makes_them_ones_own(cluster: Cluster) -> None:
    cluster.managed_by("helm", {"v1": 90, "v3": 10})
    route = cluster.route(take_over=True)
    route.examine(("v1", "v2"), alone=True)
    route.set({"v1": 100})
    assert cluster.weights == {"v1": 100}
    again = cluster.route()
    again.examine(("v1", "v2"), alone=True)
    again.set({"v1": 90, "v2": 10})
    assert cluster.weights == {"v1": 90, "v2": 10}


def test_a_route_that_says_more_than_weights_is_written_anew_when_it_is_taken_over(cluster: Cluster) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 100})
    state = cluster.read()
    state["objects"][KEY]["spec"]["http"].insert(0, {"match": [{"uri": {"exact": "/"}}], "route": []})
    cluster.write(state)
    with pytest.raises(RefusedError, match="rules for some requests only, which would be lost"):
        cluster.route().examine(("v1", "v2"), alone=True)
    route = cluster.route(take_over=True)
    route.examine(("v1", "v2"), alone=True)
    route.set({"v1": 90, "v2": 10})
    assert cluster.weights == {"v1": 90, "v2": 10}


def test_what_was_taken_over_is_not_taken_again(cluster: Cluster) -> None:
    """An operator who steps in while the controller works is not overruled."""
    cluster.managed_by("helm", {"v1": 100})
    route = cluster.route(take_over=True)
    route.examine(("v1", "v2"), alone=True)
    route.set({"v1": 90, "v2": 10})
    cluster.managed_by("kubectl-edit", {"v1": 80, "v2": 20})
    with pytest.raises(CanaryError, match='conflict with "kubectl-edit"'):
        route.set({"v1": 75, "v2": 25})


def test_a_third_version_with_requests_is_not_robbed_of_them_by_a_release(cluster: Cluster) -> None:
    cluster.managed_by("bookinfo-canary", {"v1": 50, "v3": 50})
    with pytest.raises(RefusedError, match="also gives requests to v3: roll back first"):
        cluster.route().examine(("v1", "v2"), alone=True)
    cluster.route().examine(("v1",), alone=False)


def test_a_version_that_is_not_there_gets_no_request(cluster: Cluster) -> None:
    with pytest.raises(RefusedError, match="no DestinationRule has reviews's subset v9: its requests would fail"):
        cluster.route().examine(("v1", "v9"), alone=True)


def test_a_change_by_somebody_else_is_noticed(cluster: Cluster) -> None:
    route = cluster.route()
    route.set({"v1": 90, "v2": 10})
    cluster.managed_by("kubectl-edit", {"v1": 100})
    with pytest.raises(CanaryError, match="somebody else changed the route of reviews to v1 100 %"):
        route.verify()


def test_the_way_back_is_tried_again(cluster: Cluster) -> None:
    route = cluster.route()
    route.set({"v1": 90, "v2": 10})
    cluster.change(down=True)

    class Recovering(Patient):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            cluster.change(down=False)

    route.restore({"v1": 100}, Recovering())
    assert cluster.weights == {"v1": 100}


def test_a_way_back_that_stays_closed_is_reported_with_its_reason(cluster: Cluster) -> None:
    route = cluster.route()
    route.set({"v1": 90, "v2": 10})
    cluster.change(down=True)
    patient = Patient()
    with pytest.raises(NotRestoredError, match="the server was refused"):
        route.restore({"v1": 100}, patient)
    assert patient.slept > 0


def test_what_somebody_else_took_over_is_not_fought_for(cluster: Cluster) -> None:
    route = cluster.route()
    route.set({"v1": 90, "v2": 10})
    cluster.managed_by("kubectl-edit", {"v1": 80, "v2": 20})
    with pytest.raises(NotRestoredError, match=r'conflict with "kubectl-edit": \.spec\.http$'):
        route.restore({"v1": 100}, Patient())
    assert cluster.weights == {"v1": 80, "v2": 20}


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CanaryError, match="no-kubectl-here: No such file or directory: install it"):
        Kubectl("shop", None, ("no-kubectl-here",)).all("service")


def test_in_a_lab_the_label_tells_whose_route_it_is(tmp_path: Path) -> None:
    lab = Lab()
    mine = VirtualService().body(REVIEWS, {"v1": 100}, None)
    assert lab.managers(mine, VirtualService()) == []
    assert lab.managers({"metadata": {"name": "reviews"}}, VirtualService()) == ["somebody else"]

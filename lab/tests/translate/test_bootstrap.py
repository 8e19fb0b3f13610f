"""The bootstrap configuration of one Envoy."""

import json
import re

import pytest

from bookinfo_lab.resources.topology import Gateway, Workload
from bookinfo_lab.translate import bootstrap

REVIEWS = Workload("reviews-v1-x", "reviews-v1", "default", {"app": "reviews"}, "sa", "127.64.0.5", {"http": 9080})
EDGE = Gateway("gateway", "istio-system", {"istio": "ingressgateway"}, "sa", "127.64.0.2", {8080: ("127.0.0.1", 8080)})


def test_admin_interface_is_a_socket_that_only_its_owner_can_use() -> None:
    assert bootstrap.bootstrap(REVIEWS)["admin"] == {"address": {"pipe": {"path": "admin.sock", "mode": 0o600}}}


def test_every_path_is_relative_to_the_proxy_directory() -> None:
    assert re.findall(r'"(/[^"]*)"', json.dumps(bootstrap.bootstrap(REVIEWS))) == []


def test_node_id_has_role_address_and_name() -> None:
    assert bootstrap.node(REVIEWS) == {
        "id": "sidecar~127.64.0.5~reviews-v1-x.default~default.svc.cluster.local",
        "cluster": "reviews.default",
    }
    assert bootstrap.node(EDGE)["id"].startswith("router~")


@pytest.mark.parametrize(
    ("cluster", "rest"),
    [
        ("outbound|9080|v1|reviews.default.svc.cluster.local", "upstream_rq_total"),
        ("outbound|9080||reviews.default.svc.cluster.local", "default.total_match_count"),
        ("outbound|443||www.googleapis.com", "upstream_cx_active"),
        ("outbound|80||a.external.example", "external.upstream_rq_200"),
        ("inbound|9080||", "upstream_rq_time"),
    ],
)
def test_cluster_tag_is_the_whole_cluster_name(cluster: str, rest: str) -> None:
    tags = {tag["tag_name"]: tag.get("regex") for tag in bootstrap.bootstrap(REVIEWS)["stats_config"]["stats_tags"]}

    found = re.search(tags["envoy.cluster_name"], f"cluster.{cluster}.{rest}")

    assert found is not None
    assert found[2] == cluster

"""Numbers in the texts of proxies and applications."""

from bookinfo_lab.scenarios import proxy_statistics
from bookinfo_lab.scenarios.model import Counter

STATS = """\
cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_total: 3
cluster.outbound|9080|v1|ratings.default.svc.cluster.local.upstream_rq_total: 4
cluster.outbound|9080||ratings.default.svc.cluster.local.upstream_rq_time: No recorded values
"""
METRICS = """\
# HELP request_result_total Results of requests
request_result_total{destination_app="details",response_code="200"} 7.0
request_result_total{destination_app="details",response_code="555"} 2.0
"""


def test_total_adds_all_matching_statistics() -> None:
    assert proxy_statistics.total(STATS, Counter("client", r".*\.upstream_rq_total")) == 7


def test_pattern_must_match_the_whole_name() -> None:
    assert proxy_statistics.total(STATS, Counter("client", "upstream_rq_total")) == 0


def test_value_that_is_not_a_number_is_ignored() -> None:
    assert list(proxy_statistics.values(STATS, Counter("client", r".*\.upstream_rq_time"))) == []


def test_name_of_an_application_metric_includes_labels() -> None:
    counter = Counter("productpage-v1", r'request_result_total\{.*response_code="555"\}', application=True)
    assert proxy_statistics.total(METRICS, counter) == 2

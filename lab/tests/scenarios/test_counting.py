"""Reading numbers."""

from bookinfo_lab.scenarios import counting
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


def test_numbers_of_every_matching_name_are_added_up() -> None:
    assert counting.total(STATS, Counter("client", r".*\.upstream_rq_total")) == 7


def test_a_pattern_must_match_the_whole_name() -> None:
    assert counting.total(STATS, Counter("client", "upstream_rq_total")) == 0


def test_what_is_no_number_is_left_out() -> None:
    assert list(counting.values(STATS, Counter("client", r".*\.upstream_rq_time"))) == []


def test_an_applications_numbers_have_labels() -> None:
    counter = Counter("productpage-v1", r'request_result_total\{.*response_code="555"\}', application=True)
    assert counting.total(METRICS, counter) == 2

"""The shell commands on the scenarios' pages."""

from bookinfo_lab.scenarios import shell_commands
from bookinfo_lab.scenarios.claims import (
    CounterIncrease,
    CounterMatches,
    Every,
    LogLines,
    NoneOf,
    Share,
    ShareBetween,
    StatusSequence,
)
from bookinfo_lab.scenarios.matchers import AllOf, Contains, HasHeader, HasStatus, ServedBy, Takes
from bookinfo_lab.scenarios.model import (
    Browser,
    Claim,
    Counter,
    GeneratedManifest,
    LogPattern,
    Observation,
    Pod,
    ScaledDeployment,
    Traffic,
)

PAGE = Traffic(Browser(), "/productpage", count=200)
URL = "http://localhost:8080/productpage"


def observe(traffic: Traffic, claim: Claim) -> list[str]:
    return list(shell_commands.observe(Observation(traffic, invariants=(claim,))))


def test_change_commands_of_manifests() -> None:
    setup = ("a.yaml", GeneratedManifest("generate it", str), ScaledDeployment("ratings-v1", 0))
    assert list(shell_commands.change("apply", setup)) == [
        "bookinfo apply -f a.yaml",
        "generate it | bookinfo apply -f -",
        "bookinfo scale ratings-v1 --replicas 0",
    ]


def test_user_signs_in_first() -> None:
    jason = Traffic(Browser(user="jason"), "/productpage")
    assert list(shell_commands.sign_in(jason)) == ["curl -s -c jar.txt -d username=jason http://localhost:8080/login"]
    (command,) = observe(jason, Every(Contains("stars")))
    assert command.startswith("curl -s -b jar.txt ")
    assert list(shell_commands.sign_in(PAGE)) == []


def test_claim_about_every_response_needs_few_requests() -> None:
    (command,) = observe(PAGE, Every(HasStatus(200)))
    assert command == rf"curl -s -o /dev/null -w 'status %{{http_code}}\n' '{URL}#[1-5]' | sort | uniq -c"


def test_texts_are_counted_per_response() -> None:
    (command,) = observe(PAGE, NoneOf(Contains("stars (red)")))
    one = rf"curl -s -w '\nstatus %{{http_code}}\n' {URL} | grep -oE -e '^status .*' -e 'stars \(red\)' | sort -u"
    assert command == f"for i in $(seq 5); do {one}; done | sort | uniq -c"


def test_share_needs_a_hundred_requests() -> None:
    for claim in (
        Share(ServedBy("reviews-v2"), 10, percent_without_rule=0),
        ShareBetween(ServedBy("reviews-v2"), 10, 20),
    ):
        (command,) = observe(PAGE, claim)
        assert command.startswith("for i in $(seq 100); do curl ")
        assert "-e 'reviews-v[123]'" in command


def test_share_of_times_is_counted_by_whole_seconds() -> None:
    (command,) = observe(PAGE, Share(Takes(2.0), 60, percent_without_rule=0))
    assert "in %{time_total} s" in command
    assert command.endswith("#[1-100]' | cut -d. -f1 | sort | uniq -c")


def test_times_and_texts_have_separate_commands() -> None:
    observation = Observation(PAGE, invariants=(Every(Takes(2.0)), Every(Contains("stars"))))
    times, texts = shell_commands.observe(observation)
    assert "in %{time_total} s" in times
    assert "-e stars" in texts


def test_status_sequence_is_not_sorted() -> None:
    (command,) = observe(Traffic(Pod("client"), "http://a/", count=7), StatusSequence((200, 429)))
    assert command.endswith("'http://a/#[1-7]' | uniq -c")


def test_headers_are_printed() -> None:
    (command,) = observe(PAGE, Every(AllOf(HasStatus(503), HasHeader("a", "b"))))
    assert r"-w 'status %{http_code}, a: %header{a}\n'" in command


def test_concurrent_requests_are_sent_in_parallel_from_a_pod() -> None:
    concurrent = Traffic(Pod("client"), "http://ratings:9080/ratings/0", count=100, concurrency=20)
    (command,) = observe(concurrent, Every(HasStatus(200)))
    assert command.startswith("bookinfo exec client -- curl -s -Z --no-progress-meter --parallel-immediate ")


def test_rate_is_an_option_of_curl() -> None:
    limited = Traffic(Pod("client"), "http://ratings:9080/ratings/0", count=480, concurrency=4, per_second=40)
    (command,) = observe(limited, ShareBetween(HasStatus(503), 0, 14))
    assert "curl -s --rate 40/s " in command


def test_token_is_read_from_its_file() -> None:
    (command,) = observe(Traffic(Browser(), "/api", token="reader.jwt"), Every(HasStatus(200)))
    assert '-H "Authorization: Bearer $(cat reader.jwt)"' in command


def test_counter_is_read_before_and_after_all_requests() -> None:
    counter = "bookinfo proxy client /stats | grep -E a.b"
    for claim in (
        CounterIncrease(Counter("client", "a.b"), "requests"),
        CounterMatches(Counter("client", "a.b"), "", HasStatus(503)),
    ):
        before, command, after = observe(PAGE, claim)
        assert before == after == counter
        assert f"'{URL}#[1-200]'" in command


def test_gauge_is_read_afterwards() -> None:
    (_, after) = observe(PAGE, CounterIncrease(Counter("client", "a.b", gauge=True), "ejected"))
    assert after == "bookinfo proxy client /stats | grep -E a.b"


def test_application_counter_is_read_from_its_metrics() -> None:
    before, _, _ = observe(PAGE, CounterIncrease(Counter("productpage-v1", "a.b", application=True), "calls"))
    assert before == "bookinfo exec client -- curl -s http://productpage:9080/metrics | grep -E a.b"


def test_log_lines_are_counted_after_a_flush() -> None:
    lines = "bookinfo logs --sidecar client | grep -cE GET"
    before, _, wait, after = observe(PAGE, LogLines(LogPattern("client", "GET"), "requests"))
    assert (before, wait, after) == (lines, "sleep 1", lines)

"""The commands that pages show."""

from bookinfo_lab.scenarios import commands
from bookinfo_lab.scenarios.claims import Between, Counts, CountsEach, Every, InOrder, Logs, No, Share
from bookinfo_lab.scenarios.matchers import Answered, Both, Carrying, ServedBy, Showing, Taking
from bookinfo_lab.scenarios.model import (
    Browser,
    Claim,
    Counter,
    Generated,
    Log,
    Observation,
    Pod,
    Scaled,
    Traffic,
)

PAGE = Traffic(Browser(), "/productpage", count=200)
URL = "http://localhost:8080/productpage"


def look(traffic: Traffic, claim: Claim) -> list[str]:
    return list(commands.look(Observation(traffic, keeps=(claim,))))


def test_what_is_applied() -> None:
    given = ("a.yaml", Generated("make it", str), Scaled("ratings-v1", 0))
    assert list(commands.change("apply", given)) == [
        "bookinfo apply -f a.yaml",
        "make it | bookinfo apply -f -",
        "bookinfo scale ratings-v1 --replicas 0",
    ]


def test_a_user_signs_in_first() -> None:
    jason = Traffic(Browser(user="jason"), "/productpage")
    assert list(commands.sign_in(jason)) == ["curl -s -c jar.txt -d username=jason http://localhost:8080/login"]
    (command,) = look(jason, Every(Showing("stars")))
    assert command.startswith("curl -s -b jar.txt ")
    assert list(commands.sign_in(PAGE)) == []


def test_what_holds_for_each_is_shown_by_a_few() -> None:
    (command,) = look(PAGE, Every(Answered(200)))
    assert command == rf"curl -s -o /dev/null -w 'status %{{http_code}}\n' '{URL}#[1-5]' | sort | uniq -c"


def test_texts_are_counted_answer_by_answer() -> None:
    (command,) = look(PAGE, No(Showing("stars (red)")))
    one = rf"curl -s -w '\nstatus %{{http_code}}\n' {URL} | grep -oE -e '^status .*' -e 'stars \(red\)' | sort -u"
    assert command == f"for i in $(seq 5); do {one}; done | sort | uniq -c"


def test_a_share_is_shown_by_a_hundred() -> None:
    for claim in (Share(ServedBy("reviews-v2"), 10, otherwise=0), Between(ServedBy("reviews-v2"), 10, 20)):
        (command,) = look(PAGE, claim)
        assert command.startswith("for i in $(seq 100); do curl ")
        assert "-e 'reviews-v[123]'" in command


def test_a_share_of_times_is_shown_by_whole_seconds() -> None:
    (command,) = look(PAGE, Share(Taking(2.0), 60, otherwise=0))
    assert "in %{time_total} s" in command
    assert command.endswith("#[1-100]' | cut -d. -f1 | sort | uniq -c")


def test_times_and_texts_are_shown_one_after_the_other() -> None:
    observation = Observation(PAGE, keeps=(Every(Taking(2.0)), Every(Showing("stars"))))
    times, texts = commands.look(observation)
    assert "in %{time_total} s" in times
    assert "-e stars" in texts


def test_an_order_is_not_sorted() -> None:
    (command,) = look(Traffic(Pod("client"), "http://a/", count=7), InOrder((200, 429)))
    assert command.endswith("'http://a/#[1-7]' | uniq -c")


def test_headers_are_shown() -> None:
    (command,) = look(PAGE, Every(Both(Answered(503), Carrying("a", "b"))))
    assert r"-w 'status %{http_code}, a: %header{a}\n'" in command


def test_a_crowd_comes_at_once_from_within_a_pod() -> None:
    crowd = Traffic(Pod("client"), "http://ratings:9080/ratings/0", count=100, concurrency=20)
    (command,) = look(crowd, Every(Answered(200)))
    assert command.startswith("bookinfo exec client -- curl -s -Z --no-progress-meter --parallel-immediate ")


def test_steady_traffic_keeps_its_rate() -> None:
    steady = Traffic(Pod("client"), "http://ratings:9080/ratings/0", count=480, concurrency=4, per_second=40)
    (command,) = look(steady, Between(Answered(503), 0, 14))
    assert "curl -s --rate 40/s " in command


def test_a_token_is_read_from_its_file() -> None:
    (command,) = look(Traffic(Browser(), "/api", token="reader.jwt"), Every(Answered(200)))
    assert '-H "Authorization: Bearer $(cat reader.jwt)"' in command


def test_counters_are_read_before_and_after_all_of_the_traffic() -> None:
    counter = "bookinfo proxy client /stats | grep -E a.b"
    for claim in (
        Counts(Counter("client", "a.b"), "requests"),
        CountsEach(Counter("client", "a.b"), "", Answered(503)),
    ):
        before, command, after = look(PAGE, claim)
        assert before == after == counter
        assert f"'{URL}#[1-200]'" in command


def test_a_level_is_read_afterwards() -> None:
    (_, after) = look(PAGE, Counts(Counter("client", "a.b", gauge=True), "ejected"))
    assert after == "bookinfo proxy client /stats | grep -E a.b"


def test_an_applications_own_numbers_are_fetched_from_it() -> None:
    before, _, _ = look(PAGE, Counts(Counter("productpage-v1", "a.b", application=True), "calls"))
    assert before == "bookinfo exec client -- curl -s http://productpage:9080/metrics | grep -E a.b"


def test_lines_of_a_log_are_counted_when_they_have_been_written() -> None:
    lines = "bookinfo logs --sidecar client | grep -cE GET"
    before, _, wait, after = look(PAGE, Logs(Log("client", "GET"), "requests"))
    assert (before, wait, after) == (lines, "sleep 1", lines)

"""The commands that pages show."""

from bookinfo_lab.scenarios import commands
from bookinfo_lab.scenarios.claims import Counts, Every, Logs, Share
from bookinfo_lab.scenarios.matchers import Answered, Carrying, ServedBy, Showing
from bookinfo_lab.scenarios.model import Browser, Claim, Counter, Generated, Log, Observation, Pod, Scaled, Traffic

PAGE = Traffic(Browser(), "/productpage", count=10)


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
    assert look(jason, Every(Showing("stars"))) == [
        "curl -s -b jar.txt http://localhost:8080/productpage | grep -F stars"
    ]
    assert list(commands.sign_in(PAGE)) == []


def test_versions_are_counted() -> None:
    (command,) = look(PAGE, Share(ServedBy("reviews-v2"), 10, otherwise=0))
    assert command.startswith("for i in $(seq 100); do curl -s http://localhost:8080/productpage; done | grep -o")


def test_statuses_and_times_are_shown() -> None:
    (command,) = look(PAGE, Every(Answered(200)))
    assert "%{http_code} %{time_total} s" in command


def test_headers_are_shown() -> None:
    assert look(PAGE, Every(Carrying("a", "b"))) == ["curl -s http://localhost:8080/productpage -i"]


def test_a_crowd_comes_at_once_from_within_a_pod() -> None:
    crowd = Traffic(Pod("client"), "http://ratings:9080/ratings/0", count=100, concurrency=20)
    (command,) = look(crowd, Every(Answered(200)))
    assert command.startswith("bookinfo exec client -- sh -c 'seq 40 | xargs -P 20")


def test_a_token_is_read_from_its_file() -> None:
    (command,) = look(Traffic(Browser(), "/api", token="reader.jwt"), Every(Answered(200)))
    assert '-H "Authorization: Bearer $(cat reader.jwt)"' in command


def test_counters_and_logs_are_looked_at() -> None:
    assert look(PAGE, Counts(Counter("client", "a.b"), "requests"))[1:] == [
        "bookinfo proxy client /stats | grep -E a.b"
    ]
    assert look(PAGE, Logs(Log("client", "GET"), "requests"))[1:] == ["bookinfo logs --sidecar client | grep -E GET"]

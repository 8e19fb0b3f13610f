"""Changing a running lab."""

import contextlib
import http.client
import itertools
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import Bookinfo, eventually, get

REPOSITORY = Path(__file__).parents[2]
SUBSETS = str(REPOSITORY / "istio/gateway/destination-rules.yaml")
CANARY = REPOSITORY / "istio/canary"


@pytest.fixture(autouse=True)
def _as_at_the_start(bookinfo: Bookinfo) -> Iterator[None]:
    yield
    bookinfo("reset")


def rule(kind: str, name: str, spec: str, group: str = "networking") -> str:
    return f"apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


ABORT_DETAILS = rule(
    "VirtualService",
    "details",
    "{hosts: [details], http: [{fault: {abort: {httpStatus: 555, percentage: {value: 100}}},"
    " route: [{destination: {host: details}}]}]}",
)


def details_status(bookinfo: Bookinfo) -> int:
    return get(f"{bookinfo.url}/api/v1/products/0").status


@dataclass
class Load:
    """Requests that are sent all the while: each client keeps its connection as long as it may."""

    port: int
    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def send(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self._over.is_set():
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self._over.wait(0.02)  # load, not a flood
        connection.close()

    def stop(self) -> None:
        self._over.set()


@contextlib.contextmanager
def load(bookinfo: Bookinfo, path: str = "/api/v1/products/0/reviews") -> Iterator[Load]:
    """Traffic through the gateway by three clients; at the end every request must have been answered with 200."""
    running = Load(int(bookinfo.url.rpartition(":")[2]))
    clients = [threading.Thread(target=running.send, args=(path,)) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield running
    finally:
        running.stop()
        for client in clients:
            client.join()
    assert running.failures == []
    assert len(running.statuses) > 50
    assert set(running.statuses) == {200}


def test_a_canary_takes_its_share_at_once(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", SUBSETS, "-f", str(CANARY / "reviews-90-10.yaml"))
    counts = bookinfo.versions(200)
    assert counts.keys() == {"v1", "v2"}
    assert counts["v1"] > 150
    bookinfo("delete", "-f", str(CANARY / "reviews-90-10.yaml"))
    assert bookinfo.versions(60).keys() == {"v1", "v2", "v3"}


def test_an_apply_takes_less_than_a_second(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", SUBSETS)
    took = []
    for name in ("reviews-90-10", "reviews-80-20", "reviews-90-10", "reviews-80-20", "reviews-90-10"):
        began = time.monotonic()
        bookinfo("apply", "-f", str(CANARY / f"{name}.yaml"))
        took.append(time.monotonic() - began)
    assert min(took) < max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))  # a busy machine gets its share


def test_twenty_applies_in_a_row_lose_no_request(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", SUBSETS)
    names = itertools.cycle(["reviews-90-10", "reviews-50-v3", "reviews-100-v2", "reviews-v2-v3"])
    with load(bookinfo):
        for name in itertools.islice(names, 20):
            bookinfo("apply", "-f", str(CANARY / f"{name}.yaml"))


def test_subsets_that_come_and_go_lose_no_request(bookinfo: Bookinfo) -> None:
    files = ["-f", SUBSETS, "-f", str(CANARY / "reviews-v2-v3.yaml")]
    with load(bookinfo):
        for _ in range(4):
            bookinfo("apply", *files)
            bookinfo("delete", *files)


def test_strict_mutual_tls_and_back_loses_no_request(bookinfo: Bookinfo) -> None:
    strict = str(REPOSITORY / "istio/security/mtls-strict.yaml")
    address = f"http://{bookinfo.workload('details-v1')['address']}:9080/details/0"
    with load(bookinfo):
        for _ in range(3):
            bookinfo("apply", "-f", strict)
            with pytest.raises(OSError, match=r"[Rr]eset|closed|without"):
                get(address)
            bookinfo("delete", "-f", strict)
            assert get(address).status == 200


def test_under_strict_and_allow_nothing_no_workload_answers_a_direct_connection(bookinfo: Bookinfo) -> None:
    addresses = [row["address"] for row in bookinfo.status()["workloads"]]
    with contextlib.ExitStack() as connections:
        kept = [
            connections.enter_context(contextlib.closing(http.client.HTTPConnection(address, 9080, timeout=30)))
            for address in addresses
        ]
        for connection in kept:
            assert _health(connection) == 200
        security = REPOSITORY / "istio/security"
        bookinfo("apply", "-f", str(security / "mtls-strict.yaml"), "-f", str(security / "allow-nothing.yaml"))
        for address in addresses:
            with pytest.raises(OSError, match=r"[Rr]eset|closed|without"):
                get(f"http://{address}:9080/health")
            with pytest.raises(OSError, match=r"CERTIFICATE_REQUIRED|EOF|[Rr]eset"):
                _ask_without_certificate(address)
        for connection in kept:  # what was open before is held to the new rules, too
            assert _health(connection) in (403, None)


def _health(connection: http.client.HTTPConnection) -> int | None:
    """The status of `/health`, or None from a connection that has been closed."""
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    return answer.status


def _ask_without_certificate(address: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address, 9080), timeout=30) as plain,
        context.wrap_socket(plain) as encrypted,
    ):
        encrypted.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        encrypted.recv(1)


def test_a_file_that_is_too_large_is_one_line(bookinfo: Bookinfo, tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(ABORT_DETAILS + "#" * 5_000_000)
    said = bookinfo("apply", "-f", str(file), ok=False)
    assert said.startswith(f"bookinfo: {file}: the file is larger than 4 MiB")
    assert len(said.splitlines()) == 1


def test_a_manifest_with_one_mistake_changes_nothing(bookinfo: Bookinfo) -> None:
    before = bookinfo("get", "-o", "yaml")
    broken = rule("VirtualService", "ratings", "{hosts: [ratings], htp: []}")
    said = bookinfo("apply", "-f", "-", stdin=f"{ABORT_DETAILS}---\n{broken}", ok=False)
    assert len(said.splitlines()) == 1
    assert said.startswith("bookinfo: standard input, line ")
    assert ", spec.htp: unknown field " in said
    assert bookinfo("get", "-o", "yaml") == before
    assert details_status(bookinfo) == 200


def test_what_envoy_refuses_changes_nothing(bookinfo: Bookinfo) -> None:
    before = bookinfo("get", "-o", "yaml")
    match = "{uri: {regex: '/details/(?=x)'}}"
    spec = f"{{hosts: [details], http: [{{match: [{match}], route: [{{destination: {{host: details}}}}]}}]}}"
    said = bookinfo("apply", "-f", "-", stdin=rule("VirtualService", "details", spec), ok=False)
    assert said == (
        "bookinfo: standard input, line 4, spec.http[0].match[0].uri.regex: "
        "rejected by Envoy: invalid perl operator: (?=; correct it: nothing was changed\n"
    )
    assert bookinfo("get", "-o", "yaml") == before
    assert details_status(bookinfo) == 200


def test_of_several_objects_the_one_that_envoy_refuses_is_named(bookinfo: Bookinfo) -> None:
    subset = rule("DestinationRule", "ratings", "{host: ratings, subsets: [{name: v9, labels: {version: v9}}]}")
    match = "{headers: {a: {regex: 'x+'}, b: {regex: '(x'}}}"
    broken = rule(
        "VirtualService",
        "ratings",
        f"{{hosts: [ratings], http: [{{match: [{match}], route: [{{destination: {{host: ratings, subset: v9}}}}]}}]}}",
    )
    said = bookinfo("apply", "-f", "-", stdin="---\n".join([broken, ABORT_DETAILS, subset]), ok=False)
    assert ", spec.http[0].match[0].headers.b.regex: rejected by Envoy: missing ): (x; " in said
    assert details_status(bookinfo) == 200


def test_a_kind_that_is_none_is_an_error(bookinfo: Bookinfo) -> None:
    assert 'unknown kind "nonsense"; use authorizationpolicy, ' in bookinfo("get", "nonsense", ok=False)


def test_apply_reads_a_folder_in_the_order_of_names(bookinfo: Bookinfo, tmp_path: Path) -> None:
    (tmp_path / "2.yaml").write_text(ABORT_DETAILS)
    (tmp_path / "1.yml").write_text(rule("DestinationRule", "details", "{host: details}"))
    (tmp_path / "notes.txt").write_text("not a manifest")
    said = bookinfo("apply", "-f", str(tmp_path))
    assert said.splitlines() == ["destinationrule/details configured", "virtualservice/details created"]
    assert details_status(bookinfo) == 555


def test_what_two_files_of_a_folder_say_otherwise_is_told(bookinfo: Bookinfo, tmp_path: Path) -> None:
    for name, number in (("1.yaml", 6), ("2.yaml", 7)):
        spec = f"{{host: details, trafficPolicy: {{connectionPool: {{http: {{maxRetries: {number}}}}}}}}}"
        (tmp_path / name).write_text(rule("DestinationRule", "details", spec))
    last = bookinfo("apply", "-f", str(tmp_path)).splitlines()[-1]
    assert last == (
        f"warning: destinationrule/details is defined in {tmp_path}/1.yaml, line 1, and differently in "
        f"{tmp_path}/2.yaml, line 1; the last definition is used"
    )


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_one_line(bookinfo: Bookinfo, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "rules.yaml"
    if content is not None:
        file.write_bytes(content)
    said = bookinfo("apply", "-f", str(file), ok=False)
    assert len(said.splitlines()) == 1
    assert said.startswith(f"bookinfo: {file}: ")
    assert "; " in said, "it says what to do"


@pytest.mark.smoke
def test_get_prints_what_apply_takes(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", "-", stdin=ABORT_DETAILS)
    printed = bookinfo("get", "vs", "details", "-o", "yaml")
    bookinfo("delete", "-f", "-", stdin=printed)
    assert details_status(bookinfo) == 200
    bookinfo("apply", "-f", "-", stdin=printed)
    assert details_status(bookinfo) == 555


def test_deleting_what_is_not_there_fails_and_says_so(bookinfo: Bookinfo) -> None:
    bookinfo("delete", "-f", "-", stdin=ABORT_DETAILS, ok=False)


def test_reset_goes_back_to_the_start(bookinfo: Bookinfo) -> None:
    before = bookinfo("get", "-o", "yaml")
    bookinfo("apply", "-f", "-", stdin=ABORT_DETAILS)
    bookinfo("scale", "ratings-v1", "--replicas=2")
    bookinfo("reset")
    assert bookinfo("get", "-o", "yaml") == before
    assert details_status(bookinfo) == 200
    assert len(bookinfo.status()["workloads"]) == 6


def more_reviews(version: str) -> str:
    """A Deployment of reviews that is called reviews-v9 and says that it is `version`."""
    (found,) = [
        text
        for text in (REPOSITORY / "kubernetes/bookinfo.yaml").read_text().split("---\n")
        if "kind: Deployment" in text and "name: reviews-v3" in text
    ]
    text = found.replace("name: reviews-v3", "name: reviews-v9").replace("version: v3", "version: v9")
    return text.replace("value: v3", f"value: {version}")


def test_an_applied_deployment_takes_traffic_and_a_deleted_one_ends(bookinfo: Bookinfo) -> None:
    with load(bookinfo):
        bookinfo("apply", "-f", "-", stdin=more_reviews("v3"))
        assert bookinfo.workload("reviews-v9")["state"] == "ready"
        eventually(lambda: "v9" in bookinfo.versions(30))
        bookinfo("delete", "-f", "-", stdin=more_reviews("v3"))
    assert {row["deployment"] for row in bookinfo.status()["workloads"]}.isdisjoint({"reviews-v9"})
    assert len(bookinfo.processes()) == 14


def test_a_deployment_and_the_rule_that_sends_everybody_there_come_and_go_without_a_lost_request(
    bookinfo: Bookinfo,
) -> None:
    subset = rule("DestinationRule", "reviews", "{host: reviews, subsets: [{name: v9, labels: {version: v9}}]}")
    route = "[{route: [{destination: {host: reviews, subset: v9}}]}]"
    everybody = rule("VirtualService", "reviews", f"{{hosts: [reviews], http: {route}}}")
    manifest = "---\n".join([everybody, subset, more_reviews("v3")])
    with load(bookinfo):
        bookinfo("apply", "-f", "-", stdin=manifest)
        assert bookinfo.versions(10) == {"v9": 10}
        bookinfo("delete", "-f", "-", stdin=manifest)


def test_a_deployment_that_does_not_start_is_told_with_its_reason_and_leaves_nothing(bookinfo: Bookinfo) -> None:
    before = bookinfo("get", "-o", "yaml")
    said = bookinfo("apply", "-f", "-", stdin=more_reviews("v77"), ok=False)
    assert len(said.splitlines()) == 1
    assert "reviews-v9" in said
    assert "VERSION" in said
    assert bookinfo("get", "-o", "yaml") == before
    assert len(bookinfo.processes()) == 14
    assert bookinfo.versions(10)


def test_scaling_up_and_down_loses_no_request(bookinfo: Bookinfo) -> None:
    with load(bookinfo):
        for replicas in (3, 1, 2, 1):
            bookinfo("scale", "reviews-v2", f"--replicas={replicas}")
            rows = [row for row in bookinfo.status()["workloads"] if row["deployment"] == "reviews-v2"]
            assert [row["state"] for row in rows] == ["ready"] * replicas


def test_more_pods_than_a_lab_has_addresses_for_are_refused(bookinfo: Bookinfo) -> None:
    said = bookinfo("scale", "ratings-v1", "--replicas=200", ok=False)
    assert said == "bookinfo: 205 pods are too many; use at most 100 in a lab\n"
    assert len(bookinfo.status()["workloads"]) == 6


def test_a_changed_template_replaces_its_pods_and_loses_no_request(bookinfo: Bookinfo) -> None:
    before = bookinfo.workload("reviews-v1")["name"]
    text = bookinfo("get", "deployment", "reviews-v1", "-o", "yaml")
    with load(bookinfo):
        bookinfo("apply", "-f", "-", stdin=text.replace("value: v1", "value: v2"))
    names = [row["name"] for row in bookinfo.status()["workloads"] if row["deployment"] == "reviews-v1"]
    assert len(names) == 1
    assert names != [before]


def test_a_workload_outside_the_mesh_has_no_sidecar(bookinfo: Bookinfo) -> None:
    outside = more_reviews("v3").replace(
        "      annotations:", '      annotations:\n        sidecar.istio.io/inject: "false"'
    )
    bookinfo("apply", "-f", "-", stdin=outside)
    row = bookinfo.workload("reviews-v9")
    assert row["sidecar_pid"] is None
    assert get(f"http://{row['address']}:9080/reviews/0").headers.get("server") != "istio-envoy"
    assert "has no sidecar" in bookinfo("proxy", "reviews-v9", "/ready", ok=False)


def test_a_client_outside_the_mesh_calls_services_by_name_until_mutual_tls_is_strict(bookinfo: Bookinfo) -> None:
    script = "import urllib.request as r; print(r.urlopen('http://details:9080/details/0').status)"
    call = ("--", sys.executable, "-c", script)
    bookinfo(
        "apply",
        "-f",
        str(REPOSITORY / "kubernetes/client.yaml"),
        "-f",
        str(REPOSITORY / "kubernetes/client-plain.yaml"),
    )
    assert bookinfo("exec", "client-plain", *call) == "200\n"
    bookinfo("apply", "-f", str(REPOSITORY / "istio/security/mtls-strict.yaml"))
    assert "without response" in bookinfo("exec", "client-plain", *call, ok=False)
    assert bookinfo("exec", "client", *call) == "200\n"


def test_load_tells_versions_statuses_and_latencies(bookinfo: Bookinfo) -> None:
    last = bookinfo("load", "--rps=30", "--duration=2", "--user=jason").splitlines()[-1]
    assert last.startswith("60 answers; ")
    assert all(f"200 reviews v{number}: " in last for number in (1, 2, 3))
    assert " p99 " in last


def test_config_is_what_the_envoy_runs(bookinfo: Bookinfo) -> None:
    assert '"outbound|9080||ratings.default.svc.cluster.local"' in bookinfo("config", "reviews-v1")


def test_a_canary_is_the_first_thing_that_can_be_applied(bookinfo: Bookinfo) -> None:
    bookinfo("reset")
    bookinfo("apply", "-f", str(CANARY / "reviews-90-10.yaml"))

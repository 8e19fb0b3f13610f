"""`docker compose up`, for real: the pages, what a restart does to them, and what the profiles add."""

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from observability.tests.queries import EVERY, panels, recorded

from bookinfo_lab.observe.otlp import decode
from bookinfo_testing.polling import eventually
from bookinfo_testing.prometheus import Prometheus

from .conftest import ROOT, Compose, Images, get, inspect, published, run

APPLICATIONS = ("productpage", "details", "ratings", "reviews-v1", "reviews-v2", "reviews-v3")
VERSIONS = {"reviews-v1", "reviews-v2", "reviews-v3"}
BROKEN = re.compile("Error fetching product (?:details|reviews)")


@pytest.fixture(scope="module")
def bookinfo(images: Images, compose_command: tuple[str, ...]) -> Iterator[Compose]:
    """The whole of it, up and healthy."""
    ports = dict.fromkeys(("GATEWAY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "JAEGER_PORT"), "0")
    compose = Compose(compose_command, f"test-{uuid.uuid4().hex[:8]}", {**images.environ, **ports})
    try:
        compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "180")
        yield compose
    finally:
        compose.profiles = ("load", "observability")
        compose("down", "--volumes", "--timeout", "10", check=False)


def version(page: str) -> str:
    """Which reviews a page shows."""
    found = re.search(r"reviews-v\d", page)
    return found[0] if found else "none"


@dataclass
class Load:
    """What pages looked like while something happened."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    incomplete: int = 0


@contextmanager
def load(url: str, callers: int = 4) -> Iterator[Load]:
    """Loads pages, one caller after the other and several at once, for as long as the block runs and a second more."""
    seen, lock, over = Load(), threading.Lock(), threading.Event()

    def call() -> None:
        while not over.is_set():
            status, page = get(f"{url}/productpage")
            with lock:
                seen.statuses[status] += 1
                seen.versions[version(page)] += 1
                seen.incomplete += bool(BROKEN.search(page))
            time.sleep(0.02)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield seen
        time.sleep(1)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def healthy(compose: Compose, service: str, index: int = 1) -> bool:
    """Whether the engine has found a container to be well."""
    return bool(inspect(compose.container(service, index))["State"]["Health"]["Status"] == "healthy")


def shown(url: str, pages: int) -> Counter[str]:
    """How often each version is on so many pages, all of them 200."""
    answers = [get(f"{url}/productpage") for _ in range(pages)]
    assert Counter(status for status, _ in answers) == {200: pages}
    return Counter(version(page) for _, page in answers)


def in_network(compose: Compose, *command: str) -> str:
    """What a command prints inside a container beside the others."""
    return run("docker", "exec", compose.container("details"), *command)


def statistic(compose: Compose, name: str, label: str) -> int:
    """One of the gateway's own statistics, by a part of its labels."""
    statistics = in_network(compose, "curl", "-fsS", "http://gateway:15090/stats/prometheus")
    found = re.search(rf"^{name}\{{[^}}]*{re.escape(label)}[^}}]*\}} (\d+)$", statistics, re.MULTILINE)
    assert found, f"{name} {label}"
    return int(found[1])


def instances(compose: Compose, service: str) -> int:
    """How many of a service the gateway holds to be well."""
    return statistic(compose, "envoy_cluster_membership_healthy", f"||{service}.default")


def test_on_a_machine_without_the_images_compose_builds_each_once(
    images: Images, compose_command: tuple[str, ...]
) -> None:
    fresh = Images(f"{images.tag}-fresh")
    compose = Compose(compose_command, f"test-{uuid.uuid4().hex[:8]}", fresh.environ)
    try:
        compose("up", "--no-start", "reviews-v2", "reviews-v1", "reviews-v3")
        assert len({inspect(compose.container(service))["Image"] for service in VERSIONS}) == 1
        labels = inspect(fresh.reference("bookinfo-reviews"))["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == (ROOT / "VERSION").read_text().strip()
    finally:
        compose("down", "--timeout", "1", check=False)
        run("docker", "rmi", *map(fresh.reference, ("bookinfo-reviews", "bookinfo-envoy")), check=False)


def test_every_container_is_healthy_within_15_seconds_of_its_start(bookinfo: Compose) -> None:
    allowed = 15 if os.getloadavg()[0] < 4 else 60  # a machine that others use is slower
    for service in (*APPLICATIONS, "gateway"):
        state = inspect(bookinfo.container(service))["State"]
        first = next(check["End"] for check in state["Health"]["Log"] if check["ExitCode"] == 0)
        began = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", state["StartedAt"]))
        ended = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", first))
        assert (ended - began).total_seconds() < allowed, service


def test_pages_show_all_three_versions_of_reviews(bookinfo: Compose) -> None:
    versions = shown(bookinfo.url, 200)
    assert set(versions) == VERSIONS
    # A third each, at random: 40 of 200 or fewer for one of them happens once in ten thousand runs.
    assert min(versions.values()) > 40


def test_every_call_of_reviews_is_balanced_anew(bookinfo: Compose) -> None:
    url = "http://reviews:9080/reviews/0"
    answers = in_network(bookinfo, "curl", "-fsS", *[url] * 60)
    assert set(re.findall(r"reviews-v\d", answers)) == VERSIONS


def test_only_the_gateway_is_published_and_on_loopback(bookinfo: Compose) -> None:
    published_ports = {
        service: inspect(bookinfo.container(service))["HostConfig"]["PortBindings"]
        for service in (*APPLICATIONS, "gateway")
    }
    assert {service for service, ports in published_ports.items() if ports} == {"gateway"}
    assert published_ports["gateway"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"


def test_logs_are_lines_for_people(bookinfo: Compose) -> None:
    lines = bookinfo("logs", "--no-log-prefix", "details").splitlines()
    assert any("listens on port 9080" in line for line in lines)
    assert not any(line.startswith("{") for line in lines)


def test_killing_one_version_of_reviews_leaves_pages_with_the_others(bookinfo: Compose) -> None:
    victim = bookinfo.container("reviews-v2")
    try:
        with load(bookinfo.url) as seen:
            run("docker", "kill", victim)
            time.sleep(2)
        assert set(seen.statuses) == {200}
        assert set(shown(bookinfo.url, 60)) == VERSIONS - {"reviews-v2"}
        assert instances(bookinfo, "reviews") == 2
    finally:
        run("docker", "start", victim)
    eventually(lambda: instances(bookinfo, "reviews") == 3)
    assert set(shown(bookinfo.url, 60)) == VERSIONS


@pytest.mark.parametrize("service", ["details", "ratings", "reviews-v1", "reviews-v2", "reviews-v3"])
def test_restarting_a_service_under_load_never_yields_a_page_that_is_not_200(service: str, bookinfo: Compose) -> None:
    with load(bookinfo.url) as seen:
        bookinfo("restart", service)
        eventually(lambda: healthy(bookinfo, service))
    assert set(seen.statuses) == {200}
    assert seen.statuses[200] > 20
    if service in VERSIONS:  # the others take over, so that nobody notices
        assert seen.incomplete == 0


def test_with_two_productpages_restarting_one_is_not_noticed(bookinfo: Compose) -> None:
    bookinfo("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "productpage=2")
    try:
        eventually(lambda: instances(bookinfo, "productpage") == 2)
        with load(bookinfo.url) as seen:
            run("docker", "restart", "--time", "10", bookinfo.container("productpage"))
            eventually(lambda: healthy(bookinfo, "productpage"))
        assert set(seen.statuses) == {200}
        assert seen.statuses[200] > 20
    finally:
        bookinfo("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "productpage=1")


def test_the_load_profile_asks_for_pages_steadily(bookinfo: Compose) -> None:
    def pages() -> int:
        return statistic(bookinfo, "envoy_http_downstream_rq_total", '"gateway_8080"')

    bookinfo.profiles, bookinfo.environ["LOAD_RPS"] = ("load",), "5"
    try:
        bookinfo("up", "--detach", "--no-build", "--no-recreate", "load")
        before, began = pages(), time.monotonic()
        eventually(lambda: pages() >= before + 20, within=30)
        assert time.monotonic() - began > 2  # no faster than asked
        bookinfo("rm", "--force", "--stop", "load")
    finally:
        bookinfo.profiles = ()


# --- what the observability profile connects --------------------------------------------------------------------------

RECEIVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = self.headers["content-length"]
        body = self.rfile.read(int(length)) if length else b"".join(self.chunks())
        sys.stdout.write(f"{self.path} {self.headers['content-type']} {body.hex()}\\n")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *arguments):
        pass

http.server.HTTPServer(("", 4318), Handler).serve_forever()
"""


def span_services(received: str) -> set[str]:
    """The services whose spans a receiver has printed."""
    services = set()
    for line in received.splitlines():
        path, kind, body = line.split(" ")
        assert (path, kind) == ("/v1/traces", "application/x-protobuf")
        services |= {span.service for span in decode(bytes.fromhex(body))}
    return services


EXPORT = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "", "http://gateway:4318/v1/traces")


def test_without_jaeger_an_exporter_is_answered_all_the_same(bookinfo: Compose) -> None:
    assert in_network(bookinfo, *EXPORT) == "200"


def test_spans_arrive_where_jaeger_would_be(bookinfo: Compose, images: Images, start: Callable[..., str]) -> None:
    network = f"--network={bookinfo.project}_bookinfo"
    receiver = start(
        network, "--network-alias=jaeger", images.reference("bookinfo-details"), "python", "-u", "-c", RECEIVER
    )

    def services() -> set[str]:
        get(f"{bookinfo.url}/productpage")
        return span_services(run("docker", "logs", receiver))

    try:
        eventually(lambda: services() >= {"gateway", "productpage", "details", "reviews", "ratings"})
    finally:
        run("docker", "rm", "--force", receiver)
    # What was there and is gone is like what was never there.
    assert [in_network(bookinfo, *EXPORT) for _ in range(3)] == ["200"] * 3


@pytest.fixture(scope="module")
def prometheus_image(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus: the image of .env if it is here or can be had, else one from Debian's package."""
    named = re.search(r"^PROMETHEUS_IMAGE=(.+)$", (ROOT / ".env").read_text(), re.MULTILINE)
    assert named
    if subprocess.run(["docker", "pull", "--quiet", named[1]], capture_output=True).returncode == 0:
        yield named[1]
        return
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "Dockerfile").write_text(
        f"FROM {images.reference('bookinfo-client')}\n"
        "USER root\n"
        "RUN apt-get update && apt-get install --yes --no-install-recommends prometheus wget\n"
        "RUN mkdir --mode 777 /prometheus\n"
        "USER 65532\n"
        'ENTRYPOINT ["/usr/bin/prometheus"]\n'
    )
    image = f"bookinfo-test-prometheus:{images.tag}"
    run("docker", "build", "--quiet", "--tag", image, str(folder), environ={"DOCKER_BUILDKIT": "0"})
    yield image
    run("docker", "rmi", "--force", image, check=False)


def holds_the_rules_and_feeds_the_dashboards(prometheus: Prometheus) -> None:
    """What needs no mesh has data, by the labels that compose's configuration gives."""
    chosen = {"namespace": EVERY, "app": EVERY}
    eventually(lambda: not prometheus.without_data(panels("services", chosen)), within=60)
    eventually(lambda: not prometheus.without_data((name, name) for name in recorded("services")), within=30)
    assert prometheus.unhealthy_rules() == {}
    found = {
        (labels["app"], labels["version"])
        for labels, _ in prometheus.samples("sum by (app, version) (bookinfo_build_info)")
    }
    assert found == {("reviews", f"v{number}") for number in (1, 2, 3)} | {
        (app, "v1") for app in ("productpage", "details", "ratings")
    }
    now = time.time()
    exemplars = prometheus.api(
        "query_exemplars", query="http_request_duration_seconds_bucket", start=f"{now - 60}", end=f"{now}"
    )
    assert re.fullmatch("[0-9a-f]{32}", exemplars[0]["exemplars"][0]["labels"]["trace_id"])


def test_a_page_links_to_its_trace_in_jaeger(bookinfo: Compose) -> None:
    _, page = get(f"{bookinfo.url}/productpage")
    assert re.search(rf'href="http://localhost:{bookinfo.environ["JAEGER_PORT"]}/trace/[0-9a-f]{{32}}"', page)


def test_prometheus_finds_every_service_and_the_gateway(bookinfo: Compose, prometheus_image: str) -> None:
    bookinfo.profiles, bookinfo.environ["PROMETHEUS_IMAGE"] = ("observability",), prometheus_image
    try:
        bookinfo("up", "--detach", "--no-build", "--no-recreate", "--wait", "prometheus")
        url = published(bookinfo.container("prometheus"), 9090)

        def up() -> set[str]:
            result = json.loads(get(f"{url}/api/v1/query?query=up==1")[1])["data"]["result"]
            return {sample["metric"]["workload"] for sample in result}

        eventually(lambda: up() == {*APPLICATIONS, "gateway"}, within=60)
        with load(bookinfo.url, callers=2):
            holds_the_rules_and_feeds_the_dashboards(Prometheus(url))
        bookinfo("rm", "--force", "--stop", "prometheus")
    finally:
        bookinfo.profiles = ()


# --- development ------------------------------------------------------------------------------------------------------


def test_in_development_a_changed_file_is_served_without_a_build(
    images: Images, compose_command: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("libs", "services"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for name in ("docker-compose.yaml", "docker-compose.dev.yaml", ".env"):
        shutil.copy(ROOT / name, tmp_path / name)
    files = [tmp_path / "docker-compose.yaml", tmp_path / "docker-compose.dev.yaml"]
    compose = Compose(compose_command, f"test-{uuid.uuid4().hex[:8]}", images.environ, files=files)
    details = compose.container("details")

    def publisher() -> str:
        answer = run("docker", "exec", details, "curl", "-sS", "http://localhost:9080/details/0", check=False)
        return str(json.loads(answer)["publisher"]) if answer.startswith("{") else ""

    model = tmp_path / "services/details/src/bookinfo_details/model.py"
    with compose.background("watch", "--no-up", "details"):
        compose("up", "--detach", "--no-build", "--no-deps", "details")
        eventually(lambda: publisher() == "PublisherA")
        model.write_text(model.read_text().replace("PublisherA", "PublisherB"))
        eventually(lambda: publisher() == "PublisherB")


# --- the end ----------------------------------------------------------------------------------------------------------


def test_stopping_takes_less_than_10_seconds_and_loses_no_span(bookinfo: Compose) -> None:
    since = f"--since={datetime.now(UTC).isoformat()}"
    assert get(f"{bookinfo.url}/productpage")[0] == 200  # whose spans wait to be sent
    began = time.monotonic()
    bookinfo("stop")
    assert time.monotonic() - began < 10
    assert "exporting" not in bookinfo("logs", since, "--no-log-prefix", *APPLICATIONS)
    codes = {service: inspect(bookinfo.container(service))["State"]["ExitCode"] for service in APPLICATIONS}
    assert codes == dict.fromkeys(APPLICATIONS, 0)


def test_what_a_profile_started_goes_on_until_it_is_stopped_as_documented(bookinfo: Compose) -> None:
    def left() -> str:
        return run("docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={bookinfo.project}")

    bookinfo.profiles = ("load",)
    bookinfo("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "load")
    bookinfo.profiles = ()
    bookinfo("stop")
    assert left()
    documented = re.search(r"`docker compose (--profile \S+) down`", (ROOT / "docs/containers.md").read_text())
    assert documented
    bookinfo(*shlex.split(documented[1]), "down", "--timeout", "10")
    assert not left()

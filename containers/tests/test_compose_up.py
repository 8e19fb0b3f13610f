"""`docker compose up` on a real engine: pages, restarts under load, the profiles, development and shutdown."""

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
from bookinfo_testing.scripts import write_program

from .conftest import ROOT, Compose, Images, get, inspect, published, run

APPLICATIONS = ("productpage", "details", "ratings", "reviews-v1", "reviews-v2", "reviews-v3")
VERSIONS = {"reviews-v1", "reviews-v2", "reviews-v3"}
INCOMPLETE = re.compile("Error fetching product (?:details|reviews)")


@pytest.fixture(scope="module")
def bookinfo(images: Images, compose_command: tuple[str, ...]) -> Iterator[Compose]:
    """The whole application, with all containers healthy."""
    ports = dict.fromkeys(("GATEWAY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "JAEGER_PORT"), "0")
    compose = Compose(compose_command, f"test-{uuid.uuid4().hex[:8]}", {**images.environ, **ports})
    try:
        compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "180")
        yield compose
    finally:
        compose.profiles = ("load", "observability")
        compose("down", "--volumes", "--timeout", "10", check=False)


def version(page: str) -> str:
    """Return the version of reviews that a page shows."""
    match = re.search(r"reviews-v\d", page)
    return match[0] if match else "none"


@dataclass
class PageCounts:
    """The pages that a load received, by status and by version of reviews, and the number of incomplete pages."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    incomplete: int = 0


@contextmanager
def load(url: str, clients: int = 4) -> Iterator[PageCounts]:
    """Request pages with concurrent clients from 1 s before the block until 1 s after it."""
    counts, lock, stop = PageCounts(), threading.Lock(), threading.Event()

    def request_pages() -> None:
        while not stop.is_set():
            status, page = get(f"{url}/productpage")
            with lock:
                counts.statuses[status] += 1
                counts.versions[version(page)] += 1
                counts.incomplete += bool(INCOMPLETE.search(page))
            time.sleep(0.02)

    threads = [threading.Thread(target=request_pages) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield counts
        time.sleep(1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def healthy(compose: Compose, service: str, index: int = 1) -> bool:
    """Return whether the engine reports a container as healthy."""
    return bool(inspect(compose.container(service, index))["State"]["Health"]["Status"] == "healthy")


def count_versions(url: str, pages: int) -> Counter[str]:
    """Request a number of pages, all of which must be 200, and count the versions of reviews that they show."""
    responses = [get(f"{url}/productpage") for _ in range(pages)]
    assert Counter(status for status, _ in responses) == {200: pages}
    return Counter(version(page) for _, page in responses)


def in_network(compose: Compose, *command: str) -> str:
    """Return the output of a command in a container of the project's network."""
    return run("docker", "exec", compose.container("details"), *command)


def statistic(compose: Compose, name: str, label: str) -> int:
    """Return a statistic of the gateway's Envoy by its name and a part of its labels."""
    statistics = in_network(compose, "curl", "-fsS", "http://gateway:15090/stats/prometheus")
    match = re.search(rf"^{name}\{{[^}}]*{re.escape(label)}[^}}]*\}} (\d+)$", statistics, re.MULTILINE)
    assert match, f"{name} {label}"
    return int(match[1])


def instances(compose: Compose, service: str) -> int:
    """Return the number of healthy instances of a service according to the gateway."""
    return statistic(compose, "envoy_cluster_membership_healthy", f"||{service}.default")


def test_compose_builds_each_missing_image_once(images: Images, compose_command: tuple[str, ...]) -> None:
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


def test_every_container_is_healthy_within_15_seconds(bookinfo: Compose) -> None:
    limit_seconds = 15 if os.getloadavg()[0] < 4 else 60  # a busy machine is slower
    for service in (*APPLICATIONS, "gateway"):
        state = inspect(bookinfo.container(service))["State"]
        first = next(check["End"] for check in state["Health"]["Log"] if check["ExitCode"] == 0)
        started = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", state["StartedAt"]))
        became_healthy = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", first))
        assert (became_healthy - started).total_seconds() < limit_seconds, service


def test_pages_show_all_three_versions_of_reviews(bookinfo: Compose) -> None:
    versions = count_versions(bookinfo.url, 200)
    assert set(versions) == VERSIONS
    # Each version has a third of the requests, at random. One with 40 or fewer of 200 occurs once in 10,000 runs.
    assert min(versions.values()) > 40


def test_calls_to_reviews_are_balanced_one_by_one(bookinfo: Compose) -> None:
    url = "http://reviews:9080/reviews/0"
    responses = in_network(bookinfo, "curl", "-fsS", *[url] * 60)
    assert set(re.findall(r"reviews-v\d", responses)) == VERSIONS


def test_only_the_gateway_is_published_and_on_loopback(bookinfo: Compose) -> None:
    published_ports = {
        service: inspect(bookinfo.container(service))["HostConfig"]["PortBindings"]
        for service in (*APPLICATIONS, "gateway")
    }
    assert {service for service, ports in published_ports.items() if ports} == {"gateway"}
    assert published_ports["gateway"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"


def test_logs_are_text_by_default(bookinfo: Compose) -> None:
    lines = bookinfo("logs", "--no-log-prefix", "details").splitlines()
    assert any("listens on port 9080" in line for line in lines)
    assert not any(line.startswith("{") for line in lines)


def test_pages_show_the_remaining_versions_after_one_is_killed(bookinfo: Compose) -> None:
    container = bookinfo.container("reviews-v2")
    try:
        with load(bookinfo.url) as counts:
            run("docker", "kill", container)
            time.sleep(2)
        assert set(counts.statuses) == {200}
        assert set(count_versions(bookinfo.url, 60)) == VERSIONS - {"reviews-v2"}
        assert instances(bookinfo, "reviews") == 2
    finally:
        run("docker", "start", container)
    eventually(lambda: instances(bookinfo, "reviews") == 3)
    assert set(count_versions(bookinfo.url, 60)) == VERSIONS


@pytest.mark.parametrize("service", ["details", "ratings", "reviews-v1", "reviews-v2", "reviews-v3"])
def test_every_page_is_200_while_a_service_restarts(service: str, bookinfo: Compose) -> None:
    with load(bookinfo.url) as counts:
        bookinfo("restart", service)
        eventually(lambda: healthy(bookinfo, service))
    assert set(counts.statuses) == {200}
    assert counts.statuses[200] > 20
    if service in VERSIONS:  # the other versions serve its requests
        assert counts.incomplete == 0


def test_every_page_is_200_while_one_of_two_productpages_restarts(bookinfo: Compose) -> None:
    bookinfo("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "productpage=2")
    try:
        eventually(lambda: instances(bookinfo, "productpage") == 2)
        with load(bookinfo.url) as counts:
            run("docker", "restart", "--time", "10", bookinfo.container("productpage"))
            eventually(lambda: healthy(bookinfo, "productpage"))
        assert set(counts.statuses) == {200}
        assert counts.statuses[200] > 20
    finally:
        bookinfo("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "productpage=1")


def test_load_profile_requests_pages_at_the_configured_rate(bookinfo: Compose) -> None:
    def pages() -> int:
        return statistic(bookinfo, "envoy_http_downstream_rq_total", '"gateway_8080"')

    bookinfo.profiles, bookinfo.environ["LOAD_RPS"] = ("load",), "5"
    try:
        bookinfo("up", "--detach", "--no-build", "--no-recreate", "load")
        previous, started = pages(), time.monotonic()
        eventually(lambda: pages() >= previous + 20, within=30)
        assert time.monotonic() - started > 2  # 20 pages at 5 per second, with tolerance
        bookinfo("rm", "--force", "--stop", "load")
    finally:
        bookinfo.profiles = ()


# --- the observability profile ----------------------------------------------------------------------------------------

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
    """Return the services whose spans a receiver has printed."""
    services = set()
    for line in received.splitlines():
        path, kind, body = line.split(" ")
        assert (path, kind) == ("/v1/traces", "application/x-protobuf")
        services |= {span.service for span in decode(bytes.fromhex(body))}
    return services


EXPORT = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "", "http://gateway:4318/v1/traces")


def test_gateway_accepts_spans_without_jaeger(bookinfo: Compose) -> None:
    assert in_network(bookinfo, *EXPORT) == "200"


def test_gateway_forwards_spans_to_jaeger(bookinfo: Compose, images: Images, start: Callable[..., str]) -> None:
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
    # The gateway accepts spans again after Jaeger has stopped.
    assert [in_network(bookinfo, *EXPORT) for _ in range(3)] == ["200"] * 3


@pytest.fixture(scope="module")
def prometheus_image(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of Prometheus: the one of .env if it can be pulled, otherwise one with the program of this machine."""
    configured = re.search(r"^PROMETHEUS_IMAGE=(.+)$", (ROOT / ".env").read_text(), re.MULTILINE)
    assert configured
    if subprocess.run(["docker", "pull", "--quiet", configured[1]], capture_output=True).returncode == 0:
        yield configured[1]
        return
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(f"no {configured[1]}, and no `prometheus` on PATH; install Debian's package prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    shutil.copy(program, directory / "prometheus")
    # The health check of docker-compose.yaml calls `wget -q -O /dev/null URL`, which the image of .env contains.
    write_program(directory / "wget", '#!/bin/sh\nexec curl --fail --silent --output "$3" "$4"\n')
    (directory / "Dockerfile").write_text(
        f"FROM {images.reference('bookinfo-client')}\n"
        "USER root\n"
        "RUN mkdir --mode 777 /prometheus\n"
        "COPY prometheus wget /usr/bin/\n"
        "USER 65532\n"
        'ENTRYPOINT ["/usr/bin/prometheus"]\n'
    )
    image = f"bookinfo-test-prometheus:{images.tag}"
    run("docker", "build", "--quiet", "--tag", image, str(directory), environ={"DOCKER_BUILDKIT": "0"})
    yield image
    run("docker", "rmi", "--force", image, check=False)


def assert_rules_and_dashboards_have_data(prometheus: Prometheus) -> None:
    """Check every query that needs no mesh, with the labels that the scrape configuration of Compose sets."""
    selection = {"namespace": EVERY, "app": EVERY}
    eventually(lambda: not prometheus.without_data(panels("services", selection)), within=60)
    eventually(lambda: not prometheus.without_data((name, name) for name in recorded("services")), within=30)
    assert prometheus.unhealthy_rules() == {}
    versions = {
        (labels["app"], labels["version"])
        for labels, _ in prometheus.samples("sum by (app, version) (bookinfo_build_info)")
    }
    assert versions == {("reviews", f"v{number}") for number in (1, 2, 3)} | {
        (app, "v1") for app in ("productpage", "details", "ratings")
    }
    now = time.time()
    exemplars = prometheus.api(
        "query_exemplars", query="http_request_duration_seconds_bucket", start=f"{now - 60}", end=f"{now}"
    )
    assert re.fullmatch("[0-9a-f]{32}", exemplars[0]["exemplars"][0]["labels"]["trace_id"])


def test_page_links_to_its_trace_in_jaeger(bookinfo: Compose) -> None:
    _, page = get(f"{bookinfo.url}/productpage")
    assert re.search(rf'href="http://localhost:{bookinfo.environ["JAEGER_PORT"]}/trace/[0-9a-f]{{32}}"', page)


def test_prometheus_discovers_every_service_and_the_gateway(bookinfo: Compose, prometheus_image: str) -> None:
    bookinfo.profiles, bookinfo.environ["PROMETHEUS_IMAGE"] = ("observability",), prometheus_image
    try:
        bookinfo("up", "--detach", "--no-build", "--no-recreate", "--wait", "prometheus")
        url = published(bookinfo.container("prometheus"), 9090)

        def up() -> set[str]:
            result = json.loads(get(f"{url}/api/v1/query?query=up==1")[1])["data"]["result"]
            return {sample["metric"]["workload"] for sample in result}

        eventually(lambda: up() == {*APPLICATIONS, "gateway"}, within=60)
        with load(bookinfo.url, clients=2):
            assert_rules_and_dashboards_have_data(Prometheus(url))
        bookinfo("rm", "--force", "--stop", "prometheus")
    finally:
        bookinfo.profiles = ()


# --- development ------------------------------------------------------------------------------------------------------


def test_changed_source_is_served_without_a_build_in_development(
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
        body = run("docker", "exec", details, "curl", "-sS", "http://localhost:9080/details/0", check=False)
        return str(json.loads(body)["publisher"]) if body.startswith("{") else ""

    model = tmp_path / "services/details/src/bookinfo_details/model.py"
    with compose.background("watch", "--no-up", "details"):
        compose("up", "--detach", "--no-build", "--no-deps", "details")
        eventually(lambda: publisher() == "PublisherA")
        model.write_text(model.read_text().replace("PublisherA", "PublisherB"))
        eventually(lambda: publisher() == "PublisherB")


# --- shutdown ---------------------------------------------------------------------------------------------------------


def test_stop_takes_less_than_10_seconds_and_loses_no_span(bookinfo: Compose) -> None:
    since = f"--since={datetime.now(UTC).isoformat()}"
    assert get(f"{bookinfo.url}/productpage")[0] == 200  # its spans are not exported yet
    started = time.monotonic()
    bookinfo("stop")
    assert time.monotonic() - started < 10
    assert "exporting" not in bookinfo("logs", since, "--no-log-prefix", *APPLICATIONS)
    codes = {service: inspect(bookinfo.container(service))["State"]["ExitCode"] for service in APPLICATIONS}
    assert codes == dict.fromkeys(APPLICATIONS, 0)


def test_documented_command_stops_containers_of_profiles(bookinfo: Compose) -> None:
    def running_containers() -> str:
        return run("docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={bookinfo.project}")

    bookinfo.profiles = ("load",)
    bookinfo("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "load")
    bookinfo.profiles = ()
    bookinfo("stop")
    assert running_containers()
    documented = re.search(r"`docker compose (--profile \S+) down`", (ROOT / "docs/containers.md").read_text())
    assert documented
    bookinfo(*shlex.split(documented[1]), "down", "--timeout", "10")
    assert not running_containers()

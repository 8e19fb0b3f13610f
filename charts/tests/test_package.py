"""The package: it contains the linked files of the repository, and a missing file is an error."""

import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from charts.tests.rendering import CHART, ROOT, Helm, HelmError, copy_chart, named, of_kind

LINKS = {
    "files/istio/gateway": "istio/gateway",
    "files/istio/security": "istio/security",
    "files/istio/telemetry": "istio/telemetry",
    "files/dashboards": "observability/dashboards",
    "files/rules": "observability/rules",
}


@pytest.fixture(scope="module")
def package(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged chart."""
    directory = tmp_path_factory.mktemp("package")
    helm.run("package", str(CHART), "--destination", str(directory))
    (archive,) = directory.glob("*.tgz")
    return archive


def contents(archive: Path) -> dict[str, bytes]:
    """Return the files of the package by their path in the chart."""
    files = {}
    with tarfile.open(archive) as package:
        for member in package:
            assert member.isfile(), f"{member.name}: Helm did not follow the symbolic link"
            extracted = package.extractfile(member)
            assert extracted
            files[member.name.removeprefix("bookinfo/")] = extracted.read()
    return files


def test_symbolic_links_refer_to_the_expected_directories() -> None:
    assert {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_symlink()} == set(LINKS)
    for link, target in LINKS.items():
        assert (CHART / link).resolve() == ROOT / target
        assert not (CHART / link).readlink().is_absolute()


def test_package_contains_the_linked_files(package: Path) -> None:
    packaged = contents(package)
    expected = {
        f"{link}/{path.name}": path.read_bytes()
        for link, target in LINKS.items()
        for pattern in ("*.yaml", "*.json")
        for path in (ROOT / target).glob(pattern)
    }
    assert len(expected) > 5
    assert {path: packaged.get(path) for path in expected} == expected


def test_package_contains_only_files_for_users(package: Path) -> None:
    packaged = contents(package)
    assert {"README.md", "values.yaml", "values.schema.json", "values-istio.yaml", "templates/NOTES.txt"} <= set(
        packaged
    )
    assert [path for path in packaged if path.startswith("ci/") or "tokens" in path] == []


@pytest.mark.parametrize("overlay_name", ["istio", "gateway-api", "ambient", "production"])
def test_package_renders_the_same_objects_as_the_directory(helm: Helm, package: Path, overlay_name: str) -> None:
    overlay = CHART / f"values-{overlay_name}.yaml"
    session = {"session": {"secret": "sixteen-characters-or-more"}}
    assert helm.render(session, overlay, chart=package) == helm.render(session, overlay)


REQUIRED_FILES = [
    ("files/istio/gateway/bookinfo-gateway.yaml", "values-istio.yaml"),
    ("files/istio/gateway/bookinfo-gateway.yaml", "values-gateway-api.yaml"),
    ("files/istio/gateway/destination-rules.yaml", "values-istio.yaml"),
    ("files/istio/security/mtls-strict.yaml", "values-istio.yaml"),
    ("files/istio/security/allow-nothing.yaml", "values-istio.yaml"),
    ("files/istio/security/allow-reviews-to-ratings.yaml", "values-istio.yaml"),
    ("files/istio/telemetry/tracing-and-access-log.yaml", "ci/sidecar-values.yaml"),
]


@pytest.mark.parametrize(("path", "values"), REQUIRED_FILES)
def test_empty_manifest_is_rejected(helm: Helm, tmp_path: Path, path: str, values: str) -> None:
    chart = copy_chart(tmp_path)
    (chart / path).write_text("")
    with pytest.raises(HelmError, match=f"{path} is missing or empty in this chart: check out symbolic links"):
        helm.render(None, CHART / values, chart=chart)


def test_checkout_without_symbolic_links_is_rejected(helm: Helm, tmp_path: Path) -> None:
    """Git writes a symbolic link as a file that contains the target if core.symlinks is false."""
    chart = copy_chart(tmp_path)
    shutil.rmtree(chart / "files/istio/security")
    (chart / "files/istio/security").write_text("../../../../istio/security")
    with pytest.raises(HelmError, match=r"security.* check out symbolic links \(git config core\.symlinks true\)"):
        helm.render(None, CHART / "values-istio.yaml", chart=chart)


def test_missing_probe_is_rejected(helm: Helm, tmp_path: Path) -> None:
    chart = copy_chart(tmp_path)
    (chart / "files/probe.py").write_text("")
    with pytest.raises(HelmError, match=r"files/probe\.py is missing or empty in this chart"):
        helm.render(chart=chart)


def test_packaged_dashboards_equal_those_of_the_repository(helm: Helm, package: Path) -> None:
    rendered = helm.render({"dashboards": {"enabled": True}}, chart=package)
    dashboards = {name: text for item in of_kind(rendered, "ConfigMap") for name, text in item["data"].items()}
    assert dashboards == {path.name: path.read_text() for path in (ROOT / "observability/dashboards").glob("*.json")}
    assert len(dashboards) == 3


def test_packaged_rules_equal_those_of_the_repository(helm: Helm, package: Path) -> None:
    rendered = helm.render({"prometheusRule": {"enabled": True}}, chart=package)
    spec = named(rendered, "PrometheusRule", "bookinfo")["spec"]
    files = sorted((ROOT / "observability/rules").glob("*.yaml"))
    assert spec["groups"] == [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    assert len(spec["groups"]) == 4

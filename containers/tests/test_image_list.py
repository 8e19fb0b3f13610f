"""images.yaml and the files that are generated from it."""

import json
import re
from pathlib import Path

import pytest
import yaml
from containers import bake, build, gateway

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
BAKE = (ROOT / "docker-bake.json").read_text()


def settings() -> dict[str, str]:
    """Return the variables of .env."""
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE))


def test_bake_file_is_current() -> None:
    assert bake.generate() == BAKE, "run `make bake`"


def test_gateway_configuration_is_current() -> None:
    assert gateway.FILE.read_text() == gateway.generate(), "run `make bake`"


def test_every_image_is_built_for_amd64_and_arm64() -> None:
    targets = json.loads(BAKE)["target"]
    assert targets["_common"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert all(target["inherits"] == ["_common"] for name, target in targets.items() if name != "_common")


def test_list_contains_every_image_of_the_workloads() -> None:
    named = set(re.findall(r"image: ([a-z-]+):", (ROOT / "kubernetes/bookinfo.yaml").read_text()))
    assert named
    assert named <= build.read(BAKE, {}).keys()


def test_list_contains_the_images_of_the_original_sample_with_their_versions() -> None:
    images = build.read(BAKE, {})
    variants = {
        **{f"productpage-{version}": version for version in ("v1", "v-flooding")},
        **{f"details-{version}": version for version in ("v1", "v2")},
        **{f"reviews-{version}": version for version in ("v1", "v2", "v3")},
        **{
            f"ratings-{version}": version for version in ("v1", "v-faulty", "v-delayed", "v-unavailable", "v-unhealthy")
        },
    }
    for name, version in variants.items():
        image = images[f"examples-bookinfo-{name}"]
        assert (image.stage, image.arguments["VERSION"]) == ("variant", version)


def test_environment_overrides_registry_tag_and_base_image() -> None:
    environ = {"REGISTRY": "registry.example/team/", "TAG": "1.2.3", "PYTHON_IMAGE": "python:3.14-slim"}
    image = build.read(BAKE, environ)["bookinfo-details"]
    assert image.tag == "registry.example/team/bookinfo-details:1.2.3"
    assert image.arguments["PYTHON_IMAGE"] == "python:3.14-slim"


def test_registry_without_a_slash_at_the_end_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY", "registry.example/team")
    with pytest.raises(SystemExit, match=r"REGISTRY=registry\.example/team: missing slash at the end"):
        build.main([])


@pytest.mark.parametrize(
    "remote",
    [
        "https://code.example/team/bookinfo.git",
        "https://me:secret@code.example/team/bookinfo",
        "git@code.example:team/bookinfo.git",
        "ssh://git@code.example:2222/team/bookinfo.git",
    ],
)
def test_browser_url_is_independent_of_the_form_of_the_remote(remote: str) -> None:
    assert build.browser_url(remote) == "https://code.example/team/bookinfo"


@pytest.mark.parametrize("remote", ["", "/srv/git/bookinfo.git", "file:///srv/git/bookinfo.git", "../bookinfo"])
def test_local_remote_has_no_browser_url(remote: str) -> None:
    assert build.browser_url(remote) == ""


def test_unknown_image_is_rejected_with_the_known_names() -> None:
    with pytest.raises(SystemExit, match=r"image 'nothing' not found .* bookinfo-details"):
        build.select(build.read(BAKE, {}), ["nothing"])


def test_bake_command_builds_and_loads_images_for_one_platform() -> None:
    command = build.bake_command(["bookinfo-details"], "linux/arm64")
    assert command[:3] == ["docker", "buildx", "bake"]
    assert {"--load", "--set=*.platform=linux/arm64", "bookinfo-details"} <= set(command)


def test_defaults_are_the_project_version_and_the_base_image_of_the_dockerfile() -> None:
    image = build.read(BAKE, {})["bookinfo-details"]
    assert image.tag == f"bookinfo-details:{VERSION}"
    assert f"ARG PYTHON_IMAGE={image.arguments['PYTHON_IMAGE']}\n" in (ROOT / "Dockerfile").read_text()


def test_dockerfile_sets_every_variable_of_the_variants() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    variant = dockerfile[dockerfile.index("AS variant") :]
    for entry in yaml.safe_load((ROOT / "images.yaml").read_text()).values():
        for name in entry.get("env", {}):
            assert re.search(rf"^ARG {name}\b", variant, re.MULTILINE), name
            assert f"{name}=${{{name}}}" in variant, name


def test_base_image_has_an_exact_tag() -> None:
    assert re.fullmatch(
        r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", bake.python_image((ROOT / "Dockerfile").read_text())
    )


def test_third_party_images_have_exact_tags() -> None:
    images = {name: image for name, image in settings().items() if name.endswith("_IMAGE")}
    assert len(images) == 3
    for image in images.values():
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", image), image


def test_compose_uses_the_images_of_this_version() -> None:
    assert settings()["TAG"] == settings()["RELEASE"] == VERSION

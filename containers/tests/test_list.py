"""One list of images, and files made from it that are current."""

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
    """.env"""
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE))


def test_the_bake_file_is_made_from_the_list_of_images() -> None:
    assert bake.rendered() == BAKE, "run `make bake`"


def test_the_gateways_configuration_is_what_the_lab_renders() -> None:
    assert gateway.FILE.read_text() == gateway.rendered(), "run `make bake`"


def test_every_image_is_built_for_both_architectures() -> None:
    targets = json.loads(BAKE)["target"]
    assert targets["_common"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert all(target["inherits"] == ["_common"] for name, target in targets.items() if name != "_common")


def test_the_list_holds_every_image_that_the_workloads_name() -> None:
    named = set(re.findall(r"image: ([a-z-]+):", (ROOT / "kubernetes/bookinfo.yaml").read_text()))
    assert named
    assert named <= build.read(BAKE, {}).keys()


def test_the_list_holds_the_original_samples_images_with_their_version_baked_in() -> None:
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


def test_registry_tag_and_base_image_come_from_the_environment() -> None:
    given = {"REGISTRY": "registry.example/team/", "TAG": "1.2.3", "PYTHON_IMAGE": "python:3.14-slim"}
    image = build.read(BAKE, given)["bookinfo-details"]
    assert image.tag == "registry.example/team/bookinfo-details:1.2.3"
    assert image.arguments["PYTHON_IMAGE"] == "python:3.14-slim"


def test_a_registry_without_its_final_slash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY", "registry.example/team")
    with pytest.raises(SystemExit, match="final slash"):
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
def test_images_say_where_browsers_find_their_source_whichever_way_it_was_cloned(remote: str) -> None:
    assert build.browsable(remote) == "https://code.example/team/bookinfo"


@pytest.mark.parametrize("remote", ["", "/srv/git/bookinfo.git", "file:///srv/git/bookinfo.git", "../bookinfo"])
def test_a_source_that_browsers_cannot_reach_is_not_named(remote: str) -> None:
    assert build.browsable(remote) == ""


def test_an_image_that_is_not_in_the_list_is_refused_with_those_that_are() -> None:
    with pytest.raises(SystemExit, match=r"no image 'nothing' .* bookinfo-details"):
        build.chosen(build.read(BAKE, {}), ["nothing"])


def test_with_buildx_one_command_builds_for_the_engines_own_platform_and_loads_what_it_built() -> None:
    command = build.bake_command(["bookinfo-details"], "linux/arm64")
    assert command[:3] == ["docker", "buildx", "bake"]
    assert {"--load", "--set=*.platform=linux/arm64", "bookinfo-details"} <= set(command)


def test_without_an_environment_the_version_is_the_projects_and_the_base_image_the_dockerfiles() -> None:
    image = build.read(BAKE, {})["bookinfo-details"]
    assert image.tag == f"bookinfo-details:{VERSION}"
    assert f"ARG PYTHON_IMAGE={image.arguments['PYTHON_IMAGE']}\n" in (ROOT / "Dockerfile").read_text()


def test_the_dockerfile_knows_every_variable_that_is_baked_in() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    variant = dockerfile[dockerfile.index("AS variant") :]
    for entry in yaml.safe_load((ROOT / "images.yaml").read_text()).values():
        for name in entry.get("env", {}):
            assert re.search(rf"^ARG {name}\b", variant, re.MULTILINE), name
            assert f"{name}=${{{name}}}" in variant, name


def test_the_base_image_is_an_exact_tag() -> None:
    assert re.fullmatch(
        r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", bake.python_image((ROOT / "Dockerfile").read_text())
    )


def test_every_image_from_elsewhere_is_an_exact_tag() -> None:
    images = {name: image for name, image in settings().items() if name.endswith("_IMAGE")}
    assert len(images) == 3
    for image in images.values():
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", image), image


def test_compose_takes_the_images_of_this_version() -> None:
    assert settings()["TAG"] == settings()["RELEASE"] == VERSION

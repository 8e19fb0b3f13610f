"""release.py: the values that the pipeline owns."""

from typing import Any

import pytest
from jenkins.tests.jenkinsfile_builds import ROOT

from bookinfo_testing.scripts import load_script

release = load_script(ROOT / "jenkins/release.py")

COMMIT = "1a2b3c4d5e6f" + "0" * 28
DESIRED: dict[str, Any] = {
    "services": {
        "reviews": {"image": "bookinfo-reviews", "versions": {"v3": {"replicas": 2, "env": {"LOG_LEVEL": "debug"}}}},
        "ratings": {"image": "bookinfo-ratings", "versions": {"v1": {}, "v-faulty": None}},
    }
}
NEW = {"bookinfo-reviews": "sha256:new-reviews", "bookinfo-ratings": "sha256:new-ratings"}


def installed(**reviews: Any) -> dict[str, Any]:
    """Return the installed values, with old digests."""
    old = {"image": {"digest": "sha256:old"}}
    return {
        "image": {"registry": "registry.example/team"},
        "canary": {"managed": True},
        "services": {
            "reviews": {"versions": {"v3": old, **reviews}},
            "ratings": {"versions": {"v1": old, "v-faulty": old}},
        },
    }


def versions(values: dict[str, Any], service: str) -> dict[str, Any]:
    found: dict[str, Any] = values["services"][service]["versions"]
    return found


def test_values_are_merged_as_by_helm() -> None:
    base = {"kept": 1, "replaced": [1, 2], "removed": {"key": 1}, "deep": {"kept": 1, "removed": 1}}
    override = {"replaced": [3], "removed": None, "deep": {"removed": None, "added": {"x": None}}}
    assert release.merge(base, override) == {"kept": 1, "replaced": [3], "deep": {"kept": 1, "added": {}}}


def test_first_installation_has_every_digest_of_the_build() -> None:
    values = release.pipeline_values("registry.example/team/", release.new_digests(DESIRED, NEW))
    assert values["image"] == {"registry": "registry.example/team"}
    assert versions(values, "ratings") == {
        "v1": {"image": {"digest": "sha256:new-ratings"}},
        "v-faulty": {"image": {"digest": "sha256:new-ratings"}},
    }
    assert values["canary"] == {"managed": True}


def test_canary_is_the_stable_version_with_another_digest() -> None:
    name = release.canary_name("v3", COMMIT)
    assert name == "v3-1a2b3c4d5e6f"
    values = release.values_with_canary(DESIRED, installed(), "reviews", name, "sha256:new-reviews")
    assert versions(values, "reviews") == {
        "v3": {"image": {"digest": "sha256:old"}},
        name: {
            "replicas": 2,
            "env": {"LOG_LEVEL": "debug", "VERSION": "v3"},
            "image": {"digest": "sha256:new-reviews"},
            "weight": 0,
        },
    }
    assert versions(values, "ratings") == versions(installed(), "ratings")


def test_promotion_changes_every_digest_and_keeps_the_canary() -> None:
    canary = {"image": {"digest": "sha256:new-reviews"}, "weight": 0}
    values = release.values_after_promotion(DESIRED, installed(**{"v3-1a2b3c4d5e6f": canary}), NEW)
    assert versions(values, "reviews") == {
        "v3": {"image": {"digest": "sha256:new-reviews"}},
        "v3-1a2b3c4d5e6f": canary,
    }
    assert versions(values, "ratings")["v1"] == {"image": {"digest": "sha256:new-ratings"}}


def test_values_without_canary_equal_the_earlier_values() -> None:
    assert release.values_without_canary(
        DESIRED, installed(**{"v3-1a2b3c4d5e6f": {}})
    ) == release.values_without_canary(DESIRED, installed())
    assert versions(release.values_without_canary(DESIRED, installed()), "reviews") == {
        "v3": {"image": {"digest": "sha256:old"}}
    }


def test_versions_installed_by_tag_keep_their_tag() -> None:
    installed_by_tag = {"image": {"registry": "registry.example/team", "tag": "0.0.9"}}
    assert release.values_without_canary(DESIRED, installed_by_tag)["image"] == {
        "registry": "registry.example/team",
        "tag": "0.0.9",
    }


def test_version_named_after_a_build_is_a_canary() -> None:
    found = release.find_canaries(DESIRED, installed(**{"v3-1a2b3c4d5e6f": {}, "v2": {}}))
    assert found == [("reviews", "v3-1a2b3c4d5e6f")]


def test_service_with_several_versions_has_no_stable_one() -> None:
    with pytest.raises(release.ReleaseError, match="ratings has the versions v1, v-faulty"):
        release.stable_version(DESIRED, "ratings")


def test_image_without_a_digest_is_an_error() -> None:
    with pytest.raises(release.ReleaseError, match="bookinfo-ratings of ratings-v1 has no digest"):
        release.new_digests(DESIRED, {"bookinfo-reviews": "sha256:new-reviews"})

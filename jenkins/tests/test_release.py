"""What the pipeline owns of the release's values."""

from typing import Any

import pytest
from jenkins.tests.jenkins import ROOT

from bookinfo_testing.scripts import load_script

release = load_script(ROOT / "jenkins/release.py")

COMMIT = "1a2b3c4d5e6f" + "0" * 28
WANTED: dict[str, Any] = {
    "services": {
        "reviews": {"image": "bookinfo-reviews", "versions": {"v3": {"replicas": 2, "env": {"LOG_LEVEL": "debug"}}}},
        "ratings": {"image": "bookinfo-ratings", "versions": {"v1": {}, "v-faulty": None}},
    }
}
NEW = {"bookinfo-reviews": "sha256:new-reviews", "bookinfo-ratings": "sha256:new-ratings"}


def installed(**reviews: Any) -> dict[str, Any]:
    """What Helm has of the release's values: every digest is old."""
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


def test_values_are_laid_over_values_as_helm_does_it() -> None:
    base = {"kept": 1, "replaced": [1, 2], "taken": {"away": 1}, "deep": {"kept": 1, "taken": 1}}
    over = {"replaced": [3], "taken": None, "deep": {"taken": None, "added": {"x": None}}}
    assert release.merged(base, over) == {"kept": 1, "replaced": [3], "deep": {"kept": 1, "added": {}}}


def test_a_first_install_has_every_digest_of_the_build() -> None:
    values = release.state("registry.example/team/", release.new_digests(WANTED, NEW))
    assert values["image"] == {"registry": "registry.example/team"}
    assert versions(values, "ratings") == {
        "v1": {"image": {"digest": "sha256:new-ratings"}},
        "v-faulty": {"image": {"digest": "sha256:new-ratings"}},
    }
    assert values["canary"] == {"managed": True}


def test_a_canary_is_the_stable_version_with_another_digest_and_everything_else_stays() -> None:
    name = release.canary_name("v3", COMMIT)
    assert name == "v3-1a2b3c4d5e6f"
    values = release.with_canary(WANTED, installed(), "reviews", name, "sha256:new-reviews")
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


def test_a_promotion_changes_every_digest_and_keeps_the_canary_which_may_have_all_traffic() -> None:
    canary = {"image": {"digest": "sha256:new-reviews"}, "weight": 0}
    values = release.promoted(WANTED, installed(**{"v3-1a2b3c4d5e6f": canary}), NEW)
    assert versions(values, "reviews") == {
        "v3": {"image": {"digest": "sha256:new-reviews"}},
        "v3-1a2b3c4d5e6f": canary,
    }
    assert versions(values, "ratings")["v1"] == {"image": {"digest": "sha256:new-ratings"}}


def test_without_its_canary_a_release_is_what_it_was() -> None:
    assert release.kept(WANTED, installed(**{"v3-1a2b3c4d5e6f": {}})) == release.kept(WANTED, installed())
    assert versions(release.kept(WANTED, installed()), "reviews") == {"v3": {"image": {"digest": "sha256:old"}}}


def test_versions_that_somebody_installed_by_tag_keep_their_tag() -> None:
    by_hand = {"image": {"registry": "registry.example/team", "tag": "0.0.9"}}
    assert release.kept(WANTED, by_hand)["image"] == {"registry": "registry.example/team", "tag": "0.0.9"}


def test_only_a_version_that_is_named_after_a_build_and_is_not_the_repository_s_is_a_canary() -> None:
    found = release.leftovers(WANTED, installed(**{"v3-1a2b3c4d5e6f": {}, "v2": {}}))
    assert found == [("reviews", "v3-1a2b3c4d5e6f")]


def test_a_service_of_several_versions_has_no_stable_one() -> None:
    with pytest.raises(release.ReleaseError, match="ratings has the versions v1, v-faulty"):
        release.stable_version(WANTED, "ratings")


def test_an_image_that_was_not_pushed_is_an_error() -> None:
    with pytest.raises(release.ReleaseError, match="bookinfo-ratings of ratings-v1 has no digest"):
        release.new_digests(WANTED, {"bookinfo-reviews": "sha256:new-reviews"})

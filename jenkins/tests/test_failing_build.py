"""A build whose tests fail. It has its own module, so that it runs in parallel with the complete build."""

from jenkins.tests.conftest import PipelineEnvironment
from jenkins.tests.jenkinsfile_builds import git


def test_failing_test_stops_the_build_before_any_image(environment: PipelineEnvironment) -> None:
    workspace = environment.jenkins.checkout()
    broken = workspace / "services/ratings/tests/test_ratings.py"
    broken.write_text(
        broken.read_text() + "\n\n@pytest.mark.smoke\ndef test_broken() -> None:\n    raise AssertionError\n"
    )
    git(workspace, "commit", "--quiet", "--all", "--message", "Break a test")
    build = environment.jenkins.build(workspace, {"DEPLOY": True})
    assert build.result == "FAILURE"
    assert "Unit" in build.stages("FAILURE")
    assert {"Images", "Push", "Roll out"}.isdisjoint(build.stages("started"))
    (junit,) = [event for event in build.events if event["event"] == "junit"]
    assert junit["failures"] == 1

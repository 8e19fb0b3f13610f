"""Rules for every test of the repository."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

UNPROVEN = "unproven"


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: where a shell runs tests in the background, it is ignored, and inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m smoke`, import only the files that contain such a test. This saves most of the collection's time."""
    if config.option.markexpr != "smoke" or not collection_path.match("test_*.py"):
        return None
    return "mark.smoke" not in collection_path.read_text() or None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """With BOOKINFO_TEST_ALL=1 a skip is a failure, unless docs/unproven.md names the test's identifier."""
    outcome = yield
    report = outcome.get_result()
    strict = os.environ.get("BOOKINFO_TEST_ALL") == "1"
    if strict and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker(UNPROVEN) is None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"BOOKINFO_TEST_ALL=1 allows no skip: {reason}"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """The same for a whole module that skips itself."""
    if os.environ.get("BOOKINFO_TEST_ALL") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"BOOKINFO_TEST_ALL=1 allows no skip: {report.longrepr}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make goldens`."""
    parser.addoption("--update-goldens", action="store_true", help="write golden files instead of comparing them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file, or write the file if `--update-goldens` is given."""

    def compare(file: Path, text: str) -> None:
        if request.config.getoption("--update-goldens"):
            file.write_text(text)
        assert text == file.read_text(), f"{file.name} has changed; `make goldens` regenerates it"  # noqa: S101

    return compare

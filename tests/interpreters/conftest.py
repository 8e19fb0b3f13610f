"""Report the Python versions that are not installed on this machine."""

import sys

import pytest
from tests.interpreters.test_interpreters import FOUND, NOT_INSTALLED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line after the results."""
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    tested = ", ".join([f"{current} (every test)", *sorted(FOUND)])
    terminalreporter.write_line(f"interpreters: tested {tested}; not installed: {', '.join(NOT_INSTALLED) or 'none'}")

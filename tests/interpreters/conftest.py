"""Says which Pythons could not be tried on this machine."""

import sys

import pytest
from tests.interpreters.test_interpreters import FOUND, UNTRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line under the results."""
    current = f"{sys.version_info.major}.{sys.version_info.minor}"
    tried = ", ".join([f"{current} (every test)", *sorted(FOUND)])
    terminalreporter.write_line(f"interpreters: tried {tried}; not on this machine: {', '.join(UNTRIED) or 'none'}")

"""Stops `make setup` with one line when this Python cannot do the job."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older one is turned away
    sys.exit(f"setup: Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.13 setup")
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(
        f"setup: this Python has no ensurepip: apt-get install python3.{sys.version_info.minor}-venv (Debian, Ubuntu)"
    )

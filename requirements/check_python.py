"""Exit with an error for `make setup` if this Python cannot create the virtual environment."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this check rejects older versions
    sys.exit(f"setup: expected Python 3.11 or newer, got {sys.version.split()[0]}: run `make PYTHON=python3.13 setup`")
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(
        f"setup: this Python has no ensurepip: run `apt-get install python3.{sys.version_info.minor}-venv` "
        "(Debian, Ubuntu)"
    )

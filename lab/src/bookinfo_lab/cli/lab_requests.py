"""Requests of the commands to a running lab."""

import asyncio
import os
from typing import Any

from bookinfo_lab.client import control, state
from bookinfo_lab.client.state import LabFolder


def directory(lab: str) -> LabFolder:
    """The directory of the lab named `lab`. Raises `LabError` if the name is invalid."""
    return state.lab_folder(lab, os.environ)


def send(lab: str, path: str, method: str = "GET", body: bytes = b"") -> Any:
    """Send a request to the control API, and return the decoded JSON. Raises `LabError`."""
    return asyncio.run(control.ask(directory(lab), path, method=method, body=body))


def read_admin(lab: str, workload: str, path: str) -> str:
    """Read `path` from the admin interface of the Envoy of `workload`. Raises `LabError`."""
    return asyncio.run(control.admin(directory(lab), workload, path))

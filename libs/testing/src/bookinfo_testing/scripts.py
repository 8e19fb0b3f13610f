"""Load a Python script, write an executable program."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

RECORD = "import json, sys; print(json.dumps(sys.argv[1:]))"


def load_script(path: Path) -> ModuleType:
    """Return a Python script as a module. It need not be in a package."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_program(path: Path, text: str) -> Path:
    """Write an executable script, and its directory if that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def write_recording_program(path: Path, program: Path | str, calls: Path) -> Path:
    """Write a script that runs `program` and appends each call to `calls`: a line with a JSON list, the name first."""
    record = f"""'{sys.executable}' -c '{RECORD}' {path.name} "$@" >>'{calls}'"""
    return write_program(path, f"#!/bin/sh\n{record}\nexec '{program}' \"$@\"\n")

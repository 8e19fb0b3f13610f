"""Reading manifests for a request to a lab. tests/lab/test_apply.py sends such requests."""

import io
from pathlib import Path

import pytest

from bookinfo_lab.client import control
from bookinfo_lab.errors import LabError


def error_of(name: str, standard_input: io.TextIOBase | None = None) -> str:
    with pytest.raises(LabError) as raised:
        list(control.sources(name, standard_input or io.StringIO()))  # type: ignore[arg-type]
    return str(raised.value)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    assert error_of(f"{tmp_path}/none.yaml") == (
        f"{tmp_path}/none.yaml: No such file or directory; correct the name, or change the working directory"
    )


def test_directory_without_a_manifest_is_reported(tmp_path: Path) -> None:
    error = error_of(str(tmp_path))
    assert (
        error
        == f"{tmp_path}: the directory contains no .yaml, .yml, .json file; use a directory with manifests, or a file"
    )


@pytest.mark.parametrize("name", ["file.yaml", "-"])
def test_text_that_is_not_utf_8_is_reported(name: str, tmp_path: Path) -> None:
    content = "a: ä".encode("utf-16")
    (tmp_path / name).write_bytes(content)
    where = name if name == "-" else str(tmp_path / name)
    error = error_of(where, io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    assert error.endswith(": the text is not UTF-8; convert the file to UTF-8")


def test_path_below_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("a: b")
    error = error_of(f"{tmp_path}/file.yaml/more.yaml")
    assert error == f"{tmp_path}/file.yaml/more.yaml: Not a directory; use a file, a directory, or -"

"""What is read to be sent to a lab. That it arrives: tests/lab/test_apply.py."""

import io
from pathlib import Path

import pytest

from bookinfo_lab.client import control
from bookinfo_lab.errors import LabError


def refusal(name: str, standard_input: io.TextIOBase | None = None) -> str:
    with pytest.raises(LabError) as refused:
        list(control.sources(name, standard_input or io.StringIO()))  # type: ignore[arg-type]
    return str(refused.value)


def test_a_file_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    assert refusal(f"{tmp_path}/none.yaml") == (
        f"{tmp_path}/none.yaml: No such file or directory; correct the name, or the folder in which you are"
    )


def test_a_folder_without_a_manifest_is_told_with_what_to_do(tmp_path: Path) -> None:
    told = refusal(str(tmp_path))
    assert told == f"{tmp_path}: no .yaml, .yml, .json file is in it; name a folder of manifests, or a file"


@pytest.mark.parametrize("name", ["file.yaml", "-"])
def test_what_is_not_utf_8_is_told_with_what_to_do(name: str, tmp_path: Path) -> None:
    content = "a: ä".encode("utf-16")
    (tmp_path / name).write_bytes(content)
    where = name if name == "-" else str(tmp_path / name)
    told = refusal(where, io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    assert told.endswith(": is not UTF-8 text; write the manifest anew as UTF-8")


def test_what_is_no_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("a: b")
    told = refusal(f"{tmp_path}/file.yaml/more.yaml")
    assert told == f"{tmp_path}/file.yaml/more.yaml: Not a directory; name a file, a folder, or -"

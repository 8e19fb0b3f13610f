"""A lab's folder and its lock."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bookinfo_lab.client import state
from bookinfo_lab.errors import LabError


def test_the_folder_is_below_the_xdg_state_directory() -> None:
    assert state.lab_folder("a", {"XDG_STATE_HOME": "/s"}).path == Path("/s/bookinfo/a")
    assert state.lab_folder("a", {"HOME": "/h"}).path == Path("/h/.local/state/bookinfo/a")
    assert state.lab_folder("a", {"XDG_STATE_HOME": "relative", "HOME": "/h"}).path == Path(
        "/h/.local/state/bookinfo/a"
    )


def test_without_any_home_one_line_says_what_to_set() -> None:
    with pytest.raises(LabError, match="set XDG_STATE_HOME"):
        state.lab_folder("a", {})


@pytest.mark.parametrize("name", ["", "A", "../a", "-a", "a-", "a" * 33, "a/b"])
def test_a_name_that_is_no_folders_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        state.lab_folder(name, {"HOME": "/h"})


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = state.lab_folder("a", {"XDG_STATE_HOME": str(tmp_path)})
    state.create(folder)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.path.chmod(0o755)
    state.create(folder)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bookinfo").touch()
    with pytest.raises(LabError, match=r"not writable .*; set XDG_STATE_HOME"):
        state.create(state.lab_folder("a", {"XDG_STATE_HOME": str(tmp_path)}))


def test_one_process_at_a_time_holds_the_lock_and_its_death_frees_it(tmp_path: Path) -> None:
    folder = state.lab_folder("a", {"XDG_STATE_HOME": str(tmp_path)})
    state.create(folder)
    assert state.supervisor_pid(folder) is None
    script = (
        "import sys; from bookinfo_lab.client import state; "
        f"state.lock(state.lab_folder('a', {{'XDG_STATE_HOME': {str(tmp_path)!r}}})); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        assert state.lock(folder) is None
        assert state.supervisor_pid(folder) == other.pid
        other.kill()
    assert state.supervisor_pid(folder) is None
    held = state.lock(folder)
    assert held is not None
    os.close(held)


def test_closing_keeps_the_logs_and_nothing_secret(tmp_path: Path) -> None:
    folder = state.lab_folder("a", {"XDG_STATE_HOME": str(tmp_path)})
    state.create(folder)
    pod = folder.proxies / "details-v1"
    (pod / "tls").mkdir(parents=True)
    for name in ("app.log", "app.log.1", "tls/key.pem", "bootstrap.json"):
        (pod / name).touch()
    state.close(folder)
    assert {file.name for file in folder.path.glob("**/*") if file.is_file()} == {"app.log", "app.log.1"}


def test_the_logs_of_the_run_before_are_kept_and_no_older_ones(tmp_path: Path) -> None:
    folder = state.lab_folder("a", {"XDG_STATE_HOME": str(tmp_path)})
    state.create(folder)
    for run in ("first", "second"):
        state.clean(folder)
        (folder.proxies / run).mkdir(parents=True)
        (folder.proxies / run / "app.log").touch()
        (folder.proxies / run / "key.pem").touch()
    state.clean(folder)
    assert not folder.proxies.exists()
    left = [str(file.relative_to(folder.path)) for file in folder.path.glob("**/*") if file.is_file()]
    assert left == ["previous/second/app.log"]

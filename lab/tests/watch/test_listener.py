"""Where the watch page listens."""

import contextlib
import socket

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.watch import listener as module
from bookinfo_lab.watch.listener import listen


def test_it_is_to_be_had_on_loopback_alone() -> None:
    with contextlib.closing(listen(0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_port_that_was_asked_for_and_is_taken_is_told_with_what_to_do() -> None:
    with contextlib.closing(listen(0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=rf"127\.0\.0\.1:{port}: already in use; .* --watch-port, .* --no-watch"):
            listen(port)


def test_where_the_usual_port_is_taken_another_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(listen(0)) as taken:
        monkeypatch.setattr(module, "PORT", taken.getsockname()[1])
        with contextlib.closing(listen(None)) as other:
            assert other.getsockname()[1] != taken.getsockname()[1]


def test_the_usual_port_is_8081(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.PORT == 8081
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(module, "PORT", port)
    with contextlib.closing(listen(None)) as listener:
        assert listener.getsockname()[1] == port

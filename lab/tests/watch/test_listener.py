"""The watch page's listening socket."""

import contextlib
import socket

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.watch import listener as module
from bookinfo_lab.watch.listener import listen


def test_socket_is_bound_to_loopback() -> None:
    with contextlib.closing(listen(0)) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_port_in_use_is_an_error_with_a_fix() -> None:
    with contextlib.closing(listen(0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=rf"127\.0\.0\.1:{port}: already in use; .* --watch-port, .* --no-watch"):
            listen(port)


def test_default_port_in_use_is_replaced_by_a_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(listen(0)) as taken:
        monkeypatch.setattr(module, "PORT", taken.getsockname()[1])
        with contextlib.closing(listen(None)) as other:
            assert other.getsockname()[1] != taken.getsockname()[1]


def test_default_port_is_8081(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.PORT == 8081
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(module, "PORT", port)
    with contextlib.closing(listen(None)) as listener:
        assert listener.getsockname()[1] == port

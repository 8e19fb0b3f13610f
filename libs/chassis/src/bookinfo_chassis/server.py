"""Runs a service: listens on IPv4 and IPv6 or a Unix socket, and stops so that no request is lost."""

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import uvicorn
from fastapi import FastAPI

from bookinfo_chassis.health import Lifecycle
from bookinfo_chassis.instance import Instance
from bookinfo_chassis.logs import configure_logging
from bookinfo_chassis.settings import InvalidSettingsError, ServiceSettings

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
"""Longer than any caller keeps an idle connection, so that the callee never closes one that is about to be used."""

FINISH_SECONDS = 6
"""How long what is in flight may take after the drain: the longest page is 6 s (reviews, 3 s twice)."""

IPV6_IS_OFF = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
BACKLOG = 2048
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h

Settings = TypeVar("Settings", bound=ServiceSettings)


class Server(uvicorn.Server):
    """uvicorn, but on SIGTERM it first drains: unready at once, still serving, idle connections told to close.

    uvicorn alone closes its listener at the first signal, while load balancers still send new connections.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._draining: asyncio.TimerHandle | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number).name)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _on_signal(self, name: str) -> None:
        if self._draining:
            logger.warning("%s again: stopping now", name)
            self._draining.cancel()
            self.should_exit = self.force_exit = True
            return
        logger.info("%s: draining for %g s", name, self._drain_seconds)
        self._lifecycle.ready = False
        closing = (b"connection", b"close")
        self.config.encoded_headers.append(closing)
        self.server_state.default_headers = [*self.server_state.default_headers, closing]
        self._draining = asyncio.get_running_loop().call_later(self._drain_seconds, self._stop)

    def _stop(self) -> None:
        logger.info("drained: finishing what is in flight")
        self.should_exit = True


def run(service: str, settings_class: type[Settings], create_app: Callable[[Settings], FastAPI]) -> None:
    """Start a service and serve until a signal. Bad settings or an address in use end the process with one line."""
    try:
        settings = settings_class.load()
        sockets = None if settings.uds else listen(settings.host, settings.port)
    except InvalidSettingsError as error:
        sys.exit(_refuse(service, str(error)))
    except OSError as error:
        sys.exit(_refuse(service, f"HOST, PORT: {error.strerror or error}"))
    if settings.uds and _answers(settings.uds):
        sys.exit(_refuse(service, f"UDS: somebody listens on {settings.uds} already"))
    configure_logging(service, settings)
    try:
        app = create_app(settings)
    except InvalidSettingsError as error:
        sys.exit(_refuse(service, str(error)))
    config = uvicorn.Config(
        app,
        uds=settings.uds,
        log_config=None,
        access_log=False,
        server_header=False,
        headers=Instance.from_settings(settings).headers(),
        proxy_headers=False,
        backlog=BACKLOG,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = Server(config, app.state.lifecycle, settings.drain_seconds)
    where = settings.uds or f"port {settings.port} of " + ", ".join(sock.getsockname()[0] for sock in sockets or [])
    logger.info("%s %s listens on %s", service, settings.version, where)
    # What is there now stays. A full collection would walk it under load, once in a thousand pages, for 40 ms.
    gc.freeze()
    server.run(sockets=sockets)


def listen(host: str | None, port: int) -> list[socket.socket]:
    """Sockets for `host`, or for every IPv4 and every IPv6 address; IPv4 alone where IPv6 is off.

    Two sockets, because one on `::` takes IPv4 connections only where `net.ipv6.bindv6only` is 0, and none where
    IPv6 is off. Raises OSError with the address in its text.
    """
    if host is not None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [_bind(family, host, port)]
    sockets = [_bind(socket.AF_INET, "0.0.0.0", port)]  # noqa: S104 - a pod's every address
    if socket.has_ipv6:
        try:
            sockets.append(_bind(socket.AF_INET6, "::", port))
        except OSError as error:
            if error.errno not in IPV6_IS_OFF:
                sockets[0].close()
                raise
    return sockets


def _answers(path: str) -> bool:
    """Whether somebody listens on a Unix socket; one that was left behind may be taken over."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return sock


def _refuse(service: str, reason: str) -> int:
    print(f"{service}: {reason}", file=sys.stderr)  # noqa: T201 - before logging is configured
    return EXIT_CONFIG

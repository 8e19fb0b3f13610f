"""The server of a service: it listens on IPv4 and IPv6 or on a Unix socket, and drains so that no request is lost."""

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

from bookinfo_chassis.app import Service
from bookinfo_chassis.health import Lifecycle
from bookinfo_chassis.logs import configure_logging
from bookinfo_chassis.pod_info import PodInfo
from bookinfo_chassis.settings import InvalidSettingsError, ServiceSettings

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
"""Longer than any caller keeps an idle connection, so that the server never closes one that a caller reuses."""

FINISH_SECONDS = 6
"""Time limit for requests in flight after the drain. The slowest page takes 6 s: two calls to reviews of 3 s."""

IPV6_UNAVAILABLE = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
BACKLOG = 2048
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h

Settings = TypeVar("Settings", bound=ServiceSettings)


class Server(uvicorn.Server):
    """uvicorn's server with a drain before the shutdown.

    On SIGTERM the service becomes unready at once, but serves requests until the drain ends. Its responses ask clients
    to close their connections. uvicorn alone closes its listener at the first signal, while load balancers still send
    new connections.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._drain_timer: asyncio.TimerHandle | None = None

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
        if self._drain_timer:
            logger.warning("%s during the drain: stopping now", name)
            self._drain_timer.cancel()
            self.should_exit = self.force_exit = True
            return
        logger.info("%s: draining for %g s", name, self._drain_seconds)
        self._lifecycle.ready = False
        connection_close = (b"connection", b"close")
        self.config.encoded_headers.append(connection_close)
        self.server_state.default_headers = [*self.server_state.default_headers, connection_close]
        self._drain_timer = asyncio.get_running_loop().call_later(self._drain_seconds, self._stop)

    def _stop(self) -> None:
        logger.info("drained: finishing requests in flight")
        self.should_exit = True


def run(service: str, settings_class: type[Settings], create_app: Callable[[Settings], Service]) -> None:
    """Run a service until a signal. Invalid settings or an address in use end the process with a one-line error."""
    try:
        settings = settings_class.load()
        sockets = None if settings.uds else listen(settings.host, settings.port)
    except InvalidSettingsError as error:
        sys.exit(_report_invalid(service, str(error)))
    except OSError as error:
        sys.exit(_report_invalid(service, f"HOST, PORT: {error.strerror or error}"))
    if settings.uds and _is_in_use(settings.uds):
        sys.exit(_report_invalid(service, f"UDS: another process listens on {settings.uds}"))
    configure_logging(service, settings)
    try:
        app = create_app(settings)
    except InvalidSettingsError as error:
        sys.exit(_report_invalid(service, str(error)))
    config = uvicorn.Config(
        app,
        uds=settings.uds,
        log_config=None,
        access_log=False,
        server_header=False,
        headers=PodInfo.from_settings(settings).headers(),
        proxy_headers=False,
        backlog=BACKLOG,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = Server(config, app.lifecycle, settings.drain_seconds)
    address = settings.uds or f"port {settings.port} of " + ", ".join(sock.getsockname()[0] for sock in sockets or [])
    logger.info("%s %s listens on %s", service, settings.version, address)
    # Exempt the objects that exist now from garbage collection. They stay until the process exits, and a full
    # collection of them takes 40 ms about once in a thousand pages.
    gc.freeze()
    server.run(sockets=sockets)


def listen(host: str | None, port: int) -> list[socket.socket]:
    """Return sockets for `host`, or for all IPv4 and IPv6 addresses. Without IPv6, listen on IPv4 alone.

    IPv4 and IPv6 have one socket each: a socket on `::` accepts IPv4 connections only if `net.ipv6.bindv6only` is 0,
    and none if IPv6 is unavailable.

    Raises:
        OSError: an address cannot be used; the message contains the address.
    """
    if host is not None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [_bind(family, host, port)]
    sockets = [_bind(socket.AF_INET, "0.0.0.0", port)]  # noqa: S104 - all addresses of a pod
    if socket.has_ipv6:
        try:
            sockets.append(_bind(socket.AF_INET6, "::", port))
        except OSError as error:
            if error.errno not in IPV6_UNAVAILABLE:
                sockets[0].close()
                raise
    return sockets


def _is_in_use(path: str) -> bool:
    """Return whether a process listens on a Unix socket. A socket that a stopped process left behind is reused."""
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


def _report_invalid(service: str, reason: str) -> int:
    """Print a one-line error and return the exit code."""
    print(f"{service}: {reason}", file=sys.stderr)  # noqa: T201 - before logging is configured
    return EXIT_CONFIG

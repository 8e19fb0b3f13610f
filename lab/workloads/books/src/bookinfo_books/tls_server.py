"""Serves the application on a second port, with TLS."""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from bookinfo_chassis.server import KEEP_ALIVE_SECONDS, listen


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to the server of the plaintext port."""
        yield


@contextlib.asynccontextmanager
async def serve_with_tls(app: FastAPI, host: str | None, port: int, certificate: str, key: str) -> AsyncIterator[None]:
    """Serve `app` with TLS on `port` while the context is active.

    Raises:
        OSError: the port is in use, or the certificate or its key is invalid (ssl.SSLError).
    """
    context = _context(certificate, key)
    sockets = listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_context_factory=lambda _config, _default: context,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=sockets))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # ssl reads certificates and keys only from files.
    with tempfile.TemporaryDirectory() as directory:
        chain, private = Path(directory, "chain.pem"), Path(directory, "key.pem")
        chain.write_text(certificate)
        private.write_text(key)
        context.load_cert_chain(chain, private)
    return context

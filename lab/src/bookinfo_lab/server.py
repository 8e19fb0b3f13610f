"""An HTTP server that runs as a task of the lab's supervisor."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn


class Server(uvicorn.Server):
    """uvicorn without its signal handling, because the supervisor handles signals."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers unchanged."""
        yield

    async def run_until_cancelled(self) -> None:
        """Serve requests until the task is cancelled."""
        await self.serve(sockets=[self._listener])

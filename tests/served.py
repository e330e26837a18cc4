"""An application served over a socket, by a thread of the tests' process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from tests.waiting import until


class Server(uvicorn.Server):
    """A server that ends when it is told to, and not up to 0.2 s later, as uvicorn does."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
        self.told = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"

    async def main_loop(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self.on_tick(0)
        if not self.should_exit:
            await self.told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(5):  # connections that wait for a request are closed by then
            await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        else:
            await self.lifespan.shutdown()

    def end(self) -> None:
        """Have the server end once its requests are answered."""
        self.should_exit = True
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.told.set)


@contextmanager
def served(app: FastAPI) -> Iterator[Server]:
    """The app's server, started; it has ended afterwards."""
    server = Server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.loop is not None or not thread.is_alive())
        assert server.started
        yield server
    finally:
        server.end()
        thread.join()

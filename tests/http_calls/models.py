"""Servers of a model that die, hang and fail when they are told to, for tests of several."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal


class Model:
    """A server with the rerank APIs of others; a text's score is its length.

    ``first`` is what it does before anything else: a status, with a Retry-After in seconds if there
    is one; "die": break the connection; "hang": answer nothing until the client has gone, and count
    it in ``gone``. While ``released`` is not set, it answers nothing.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.first: deque[int | tuple[int, int] | Literal["die", "hang"]] = deque()
        self.always: int | Literal["die", "hang"] | None = None
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.gone = 0
        self.most = 32
        self.released = threading.Event()
        self.released.set()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"status": "ready"}, None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body)
            model.keys.append(self.headers["Authorization"])
            model.released.wait()
            told = model.first.popleft() if model.first else model.always
            if told == "die":
                self.close_connection = True
                return
            if told == "hang":
                with suppress(ConnectionResetError):  # as a balancer ends a connection
                    self.connection.recv(1)
                model.gone += 1
                return
            if told is not None:
                status, after = told if isinstance(told, tuple) else (told, None)
                self._answer(status, {"error": "told to"}, after)
                return
            texts = body.get("texts") or body["documents"]
            if len(texts) > model.most:
                self._answer(413, {"error": "too many"}, None)
                return
            scored = [{"index": i, "score": len(text)} for i, text in enumerate(texts)]
            if "texts" in body:
                self._answer(200, scored, None)
                return
            named = {} if model.name is None else {"model": model.name}
            results = [{"index": i["index"], "relevance_score": i["score"]} for i in scored]
            self._answer(200, {**named, "results": results}, None)

        def _answer(self, status: int, body: object, after: int | None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if after is not None:
                self.send_header("Retry-After", str(after))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def started(*models: Model) -> Iterator[None]:
    """Have models listen; they are stopped afterwards."""
    try:
        for model in models:
            model.start()
        yield
    finally:
        for model in models:
            model.released.set()
            model.stop()

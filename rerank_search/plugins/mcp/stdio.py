"""MCP over standard input and output: nothing but JSON-RPC is written, and Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from mcp.server.mcpserver import MCPServer

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Wire:
    """The standard input and output, which this takes from the rest of the process for good.

    What is printed from then on goes to the standard error, also by libraries in other languages
    and at the process's end; who reads the standard input finds it empty.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._input = _EndableInput(os.dup(0))
        output = _Output(os.dup(1), self._input)
        self._output = io.TextIOWrapper(io.BufferedWriter(output), encoding="utf-8")
        self._interrupted = False
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    @contextlib.asynccontextmanager
    async def lifespan(self, server: MCPServer[Any]) -> AsyncIterator[None]:
        """The lifespan that the server must have: by then it has taken the streams from ``sys``."""
        sys.stdout = sys.stderr
        yield

    def serve(self, server: MCPServer[Any]) -> None:
        """Answer requests until the client closes its end.

        Raises KeyboardInterrupt after Ctrl-C, once the calls that run have ended.
        """
        before = signal.signal(signal.SIGINT, self._interrupt)
        sys.stdin, sys.stdout = self._input.stream, self._output
        try:
            server.run("stdio")
        except* BrokenPipeError:  # the client reads no more: there is nobody to tell
            pass
        finally:
            sys.stdout = sys.stderr
            signal.signal(signal.SIGINT, before)
        if self._interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second time at once
        # In a thread, because the lock may be held until this one reads on.
        threading.Thread(target=self._input.end, daemon=True).start()


class _EndableInput:
    """A stream of the standard input that this process can end.

    A read of the standard input itself cannot be interrupted, so a thread passes on what arrives.
    """

    def __init__(self, source: int) -> None:
        reading, writing = os.pipe()
        self.stream: TextIO = os.fdopen(reading, "r", encoding="utf-8", errors="replace")
        self._source = source
        self._to = io.FileIO(writing, "w")
        self._lock = threading.Lock()
        threading.Thread(target=self._pass_on, name="standard input", daemon=True).start()

    def end(self) -> None:
        """End the stream after what has arrived."""
        with self._lock:
            self._to.close()

    def _pass_on(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile, on either side
            while part := os.read(self._source, 65_536):
                with self._lock:
                    while part:
                        part = part[self._to.write(part) :]
        self.end()


class _Output(io.FileIO):
    """Standard output, without which the input ends too: the client reads no more."""

    def __init__(self, descriptor: int, source: _EndableInput) -> None:
        super().__init__(descriptor, "w")
        self._source = source

    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content)
        except OSError:
            self._source.end()
            raise

"""New processes that have the libraries already: importing them takes 10 seconds of a core.

Before the first test, the tests' process forks a server with everything that the tests import, and
no other thread. The server forks for each program. A program gets arguments, an environment, a
working folder and streams of its own, as in a cold start. It can be killed as any process can. But
the package computes with one thread in it, as in every forked process, so a test of threads needs a
cold start.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any

from tests.waiting import until

COMMAND_LINE = "from rerank_search.__main__ import main; main()"


@dataclass(slots=True)
class Warm:
    """A program in a process of its own; its output is in a file."""

    pid: int
    output: Path
    code: int | None = None
    """The exit code, or minus the signal that ended it, once that is known."""

    @property
    def running(self) -> bool:
        if self.code is None:
            self.code = _asked(self.pid)
        return self.code is None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """The exit code, or minus the signal that ended it."""
        until(lambda: not self.running, seconds)
        assert self.code is not None
        return self.code

    def said(self) -> str:
        """What it has written to its standard output and standard error so far."""
        return self.output.read_text(encoding="utf-8")


def start(
    code: str,
    *arguments: str,
    output: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    input: Path | None = None,
    errors: Path | None = None,
) -> Warm:
    """Start a program: ``code``, with its arguments in sys.argv, in a folder or this one.

    It reads ``input``, by default nothing. Its standard error goes to ``errors``, by default to the
    output.
    """
    given = {**os.environ, **(environment or {})}
    for file in (output, errors or output):
        if not file.exists():
            file.touch()
    streams = (str(input or os.devnull), str(output), str(errors or output))
    return Warm(_asked((code, arguments, given, str(folder or Path.cwd()), streams)), output)


_FORK = multiprocessing.get_context("fork")
_TURNS = Lock()
_servers: list[Connection] = []


@contextmanager
def server() -> Iterator[None]:
    """The server, from now on; programs that still run at the end are killed."""
    ours, theirs = multiprocessing.Pipe()
    process = _FORK.Process(target=_serve, args=(theirs, ours))
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads, which xdist and some libraries have.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    _servers.append(ours)
    try:
        yield
    finally:
        _servers.remove(ours)
        ours.close()
        process.join()


def _asked(question: Any) -> Any:
    """The server's answer: the process of a program, or the exit code of a process."""
    with _TURNS:
        _servers[-1].send(question)
        return _servers[-1].recv()


def _serve(questions: Connection, of_the_tests: Connection) -> None:
    of_the_tests.close()
    started: dict[int | None, multiprocessing.context.ForkProcess] = {}
    with suppress(EOFError):
        while True:
            question = questions.recv()
            if isinstance(question, int):
                questions.send(started[question].exitcode)
                continue
            process = _FORK.Process(target=_run, args=question, daemon=True)
            process.start()
            started[process.pid] = process
            questions.send(process.pid)


def _run(
    code: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    streams: tuple[str, str, str],
) -> None:
    for number, file in enumerate(streams):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY), number)
    # Until here the streams, the handlers and the filters of warnings are those of pytest.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    logging.getLogger().handlers.clear()
    warnings.resetwarnings()
    for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", hidden)  # as a new interpreter does
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})

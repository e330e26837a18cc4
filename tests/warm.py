"""New processes that have the libraries already: importing them takes 10 seconds of a core.

A server process imports them once, starts no thread, and forks for each program. A program gets
arguments, an environment, a working folder and streams of its own, as in a cold start. It can be
killed as any process can. But the package computes with one thread in it, as in every forked
process, so a test of threads needs a cold start.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

LIBRARIES = [
    "rerank_search.training.train",
    "rerank_search.training.run.trainer",
    "rerank_search.serving.server",
]
COMMAND_LINE = "from rerank_search.__main__ import main; main()"


@dataclass(frozen=True, slots=True)
class Warm:
    """A program in a process of its own; its output is in a file."""

    process: ForkServerProcess
    output: Path

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> None:
        self.process.kill()

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """The exit code, or minus the signal that ended it."""
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, f"still running after {seconds} seconds: {self.said()}"
        return code

    def said(self) -> str:
        """What it has written to its standard output and standard error so far."""
        return self.output.read_text(encoding="utf-8")


def start(
    code: str,
    *arguments: str,
    output: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Warm:
    """Start a program: ``code``, with its arguments in sys.argv, in a folder or this one."""
    given = {**os.environ, **(environment or {})}
    process = _server().Process(
        target=_run,
        args=(code, list(arguments), given, str(folder or Path.cwd()), str(output)),
        daemon=True,
    )
    output.touch()
    process.start()
    return Warm(process, output)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


def _run(
    code: str, arguments: Sequence[str], environment: Mapping[str, str], folder: str, output: str
) -> None:
    opened = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})

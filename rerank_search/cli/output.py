"""The output of commands: JSON for programs, text for people, and the progress of long work."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task
    from rich.table import Table

A_LINE_EVERY = 2.0
"""Seconds between two lines of progress without a bar; after two minutes, 1/60 of the time so far.

So a minute has 30 lines, and an hour some 260."""

_COUNTS = 45
"""Columns reserved for the figures beside a bar."""

_RATE_OVER = 60.0
"""Seconds over which the rate is averaged."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print dataclasses, mappings and sequences as JSON; field names become keys."""
    # Outside UTF-8 (some pipes on Windows) escapes keep the output valid JSON.
    plain_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    typer.echo(json.dumps(_plain(value), ensure_ascii=plain_ascii, indent=2))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def console() -> Console:
    """The console for tables: standard output, as wide as COLUMNS or the terminal (a pipe: 100).

    Texts are printed unchanged: brackets and colons in them are not markup.
    """
    from rich.console import Console

    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdecimal() and int(asked) > 0 else None
    if width is None and not sys.stdout.isatty():
        width = 100
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_table(table: Table) -> None:
    """Print a table on the standard output.

    Words that are too long are broken on a terminal, and nowhere else. If its columns do not fit,
    the table gets wider than the screen, because Rich would leave columns out.
    """
    from rich.measure import Measurement

    screen, is_terminal = console(), sys.stdout.isatty()
    unbounded = screen.options.update(max_width=sys.maxsize)
    words = needed = 0
    for column in table.columns:
        cells = (column.header, *column.cells)
        sizes = [Measurement.get(screen, unbounded, cell) for cell in cells]
        shortest, longest = max(s.minimum for s in sizes), max(s.maximum for s in sizes)
        own = longest if column.no_wrap else 1 if is_terminal else shortest
        column.min_width = max(column.min_width or 0, own)
        words += max(column.min_width, shortest)
        needed += column.min_width
    borders = Measurement.get(screen, unbounded, table).minimum - words
    screen.width = max(screen.width, needed + borders)
    screen.print(table, crop=False)


def note(message: str) -> None:
    """Print a message that is not part of the result on the standard error."""
    typer.echo(message, err=True)


@contextmanager
def progress(description: str, total: float = 0) -> Iterator[Callable[[float], None]]:
    """Count ``total`` steps (0: unknown) on the standard error.

    A terminal shows a bar; elsewhere a line is printed every few seconds, and none for quick work.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    shown, screen = _shows_bars(), Console(stderr=True)
    bar = min(20, screen.width // 6)
    name = Text(description)
    name.truncate(max(8, screen.width - bar - _COUNTS), overflow="ellipsis")
    counted = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=bar),
        _counts_column(),
        console=screen,
        transient=True,
        speed_estimate_period=_RATE_OVER,
        disable=not shown,
    )
    task = counted.add_task(name.plain, total=total or None)

    def line() -> str:
        counted.advance(task, 0)  # update the rate, which falls while nothing is counted
        return f"{description}: {_counts(counted.tasks[0])}"

    with counted if shown else _lines(line):
        yield lambda done: counted.advance(task, done)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on the standard error what is being done, like ``progress`` without a count.

    Log lines about measuring and exporting models are shown too, since both take a while once.
    """
    if _shows_bars():
        from rich.console import Console

        console = Console(stderr=True)
        with console.status(what), _told(lambda message: console.print(message, markup=False)):
            yield
        return
    started = time.monotonic()
    with _lines(lambda: f"{what}: {time.monotonic() - started:.0f} s"), _told(note):
        yield


@contextmanager
def _told(tell: Callable[[str], object]) -> Iterator[None]:
    logger, handler = logging.getLogger("rerank_search.models.backends"), _Telling(tell)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class _Telling(logging.Handler):
    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


def _shows_bars() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def _lines(line: Callable[[], str]) -> Iterator[None]:
    """Print the line again and again by a clock, so that a log also shows work that hangs."""
    over, started = threading.Event(), time.monotonic()

    def tell() -> None:
        while not over.wait(max(A_LINE_EVERY, (time.monotonic() - started) / 60)):
            note(line())

    telling = threading.Thread(target=tell, name="progress", daemon=True)
    telling.start()
    try:
        yield
    finally:
        over.set()
        telling.join()


def _counts(task: Task) -> str:
    """``1,234 of 5,817, 34/s, 0:02:14 left``; without a total the time since the start."""
    of = f" of {task.total:,.0f}" if task.total else ""
    said = [f"{task.completed:,.0f}{of}"]
    elapsed = task.elapsed or 0.0
    # Rich has a rate only from the second step on.
    if speed := task.speed or (task.completed / elapsed if elapsed else 0.0):
        said.append(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s")
    if not task.total:
        said.append(str(timedelta(seconds=int(elapsed))))
    elif speed:
        left = max(0.0, task.total - task.completed) / speed
        said.append(f"{timedelta(seconds=ceil(left))} left")
    return ", ".join(said)


def _counts_column() -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Counts(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(_counts(task))

    return Counts(table_column=Column(no_wrap=True))

"""What the commands print: JSON for programs, text for people, and how far long work is."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

A_LINE_EVERY = 60.0
"""Seconds between two lines on how far something is, where a bar can't be shown."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a value of dataclasses, mappings and sequences; field names become keys."""
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
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def console() -> Console:
    """Where tables go: standard output, as wide as the terminal (100 columns in a pipe).

    Texts are printed as they are: no brackets or colons in them are markup.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else 100
    return Console(highlight=False, markup=False, emoji=False, width=width)


@contextmanager
def progress(description: str, total: float = 0) -> Iterator[Callable[[float], None]]:
    """Counts ``total`` steps (0: unknown) on the standard error; a line a minute in a file."""
    if not sys.stderr.isatty():
        yield _in_lines(description, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(description, total=total or None)
        yield lambda done: bar.advance(task, done)


def _in_lines(description: str, total: float) -> Callable[[float], None]:
    """Counts for a log: what takes less than a minute is not mentioned."""
    done, last = 0.0, time.monotonic()

    def tick(more: float) -> None:
        nonlocal done, last
        done += more
        if time.monotonic() - last >= A_LINE_EVERY:
            last = time.monotonic()
            note(f"{description}: {done:,.0f}" + (f" of {total:,.0f}" if total else ""))

    return tick


def note(message: str) -> None:
    """Say something that is not the result, on the standard error."""
    typer.echo(message, err=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says on the standard error what is being done; nothing without a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield

"""Reports of progress by long work, independent of how they are displayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]
"""Function that opens a display, given a description and the number of steps (0: unknown).

Its context gives the function to call with numbers of finished steps."""


def fractions(progress: Callable[[float], None], steps: int, parts: int) -> Callable[[float], None]:
    """A counter of ``parts`` that make up ``steps``; without parts any call counts all steps."""
    return lambda done: progress(steps * done / parts if parts else steps)


@contextmanager
def quiet(_description: str, _total: float) -> Iterator[Callable[[float], None]]:
    """Show no progress."""
    yield lambda _: None

"""How long work says how far it is, without knowing who is looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]
"""Opens a display for something of so many steps (0: unknown), and gives what counts them."""


def fractions(progress: Callable[[float], None], steps: int, parts: int) -> Callable[[float], None]:
    """Counts ``parts`` that make up ``steps``; where there are none, a call means all is done."""
    return lambda done: progress(steps * done / parts if parts else steps)


@contextmanager
def quiet(_description: str, _total: float) -> Iterator[Callable[[float], None]]:
    """No progress is shown."""
    yield lambda _: None

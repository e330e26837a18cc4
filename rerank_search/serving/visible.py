"""The indexes that the current request may see, by its key.

It belongs to the request and not to a route, so that a route which is added later sees no more than
the key allows, whatever it does. Tasks and threads that a request starts inherit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_VISIBLE: ContextVar[frozenset[str] | None] = ContextVar("indexes visible to the request")


@contextmanager
def showing(names: frozenset[str] | None) -> Iterator[None]:
    """Show only these indexes to what runs in the block; None shows all."""
    before = _VISIBLE.set(names)
    try:
        yield
    finally:
        _VISIBLE.reset(before)


def visible(*, outside: frozenset[str] | None) -> frozenset[str] | None:
    """The names of the indexes that may be seen, or None for all; ``outside`` of requests."""
    return _VISIBLE.get(outside)

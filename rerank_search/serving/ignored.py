"""The fields of the current request that were ignored, because the server is lenient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IGNORED: ContextVar[list[str] | None] = ContextVar("ignored fields", default=None)


@contextmanager
def ignoring() -> Iterator[list[str]]:
    """Ignore unsupported fields in the block; yields the list of their names."""
    names: list[str] = []
    before = _IGNORED.set(names)
    try:
        yield names
    finally:
        _IGNORED.reset(before)


def ignores(field: str) -> bool:
    """Whether an unsupported field of the request may be ignored; notes its name if so."""
    names = _IGNORED.get()
    if names is None:
        return False
    names.append(field)
    return True

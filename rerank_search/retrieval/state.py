"""The state file of an engine: the last applied change, and the names of its current files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import IndexCorruptedError
from rerank_search.files import atomic_write_json
from rerank_search.types import JsonValue

REPAIR = "run `rerank-search index verify` to see the damage and `rerank-search index rebuild`"


def damaged(path: Path, reason: object) -> IndexCorruptedError:
    """The error about a file (or directory) of an engine that cannot be used."""
    return IndexCorruptedError(
        f"{path} is damaged ({reason}): {REPAIR} to build it again from the documents"
    )


class StateFile:
    """``state.json`` of one engine: published atomically, and cheap to check for changes."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.json"
        self._seen: tuple[int, int, int] | None = None

    def exists(self) -> bool:
        """Whether the engine was ever published."""
        return self.path.exists()

    def changed(self) -> bool:
        """Whether the file has been replaced since it was last read or published."""
        return self._stamp() != self._seen

    def read(self) -> dict[str, JsonValue]:
        """The published state. Raises IndexCorruptedError for a missing or damaged file."""
        # Take the stamp first: then a state published in between is read again later.
        self._seen = self._stamp()
        try:
            state = json.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise damaged(self.path, error) from error
        if not isinstance(state, dict) or not isinstance(state.get("seq"), int):
            raise damaged(self.path, "it has no change sequence")
        return state

    def publish(self, state: dict[str, JsonValue]) -> None:
        """Replace the state, durably. Raises StorageFullError, IndexReadOnlyError."""
        atomic_write_json(self.path, state)
        self._seen = self._stamp()

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of numpy, FAISS and bm25s for a damaged file into IndexCorruptedError naming it.

    FileNotFoundError passes through: the publisher may have replaced the file meanwhile.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def differences(name: str, found: NDArray[np.int64], expected: NDArray[np.int64]) -> list[str]:
    """Problems for ``verify`` to report if an engine has other passages than it should."""
    problems, fix = [], "run `rerank-search index rebuild`"
    for what, ids in (
        ("lacks", np.setdiff1d(expected, found)),
        ("still has", np.setdiff1d(found, expected)),
    ):
        if len(ids):
            problems.append(f"{name} {what} {len(ids)} passages (first id {ids[0]}): {fix}")
    if len(found) != len(np.unique(found)):
        problems.append(f"{name} has duplicate passages: {fix}")
    return problems

"""Applying the changes of the stored documents to one engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from rerank_search.retrieval.base import Engine, Passage
from rerank_search.storage.changes import StoredPassage
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors

STEP = 20_000
"""Passages applied between two publications: the most work that a crash can lose."""

Tick = Callable[[int], None]
"""What is called with numbers of finished documents."""


def apply_changes(
    engine: Engine, store: DocumentStore, folder: Path, until: int, tick: Tick | None
) -> None:
    """Apply the changes up to ``until`` that an engine lacks.

    ``folder`` is the engine's own, for errors of the disk.
    """
    step = STEP if engine.incremental else None
    if engine.foresees and engine.seq < until:
        engine.foresee(_pending(engine.seq, store, until))
    while engine.seq < until:
        with (
            store.changes(engine.seq, most=step, until=until) as changes,
            storage_errors(folder),
        ):
            documents = _Documents(tick)
            engine.update(
                changes.seq,
                documents.passages(changes.added),
                changes.removed,
                progress=documents.through,
            )


def _pending(since: int, store: DocumentStore, until: int) -> Iterator[Passage]:
    """The passages that the updates of an engine will add."""
    with store.changes(since, until=until) as changes:
        yield from map(passage_of, changes.added)


def passage_of(stored: StoredPassage) -> Passage:
    """The passage as engines get it."""
    vector = None if stored.vector is None else np.frombuffer(stored.vector, "<f4")
    return Passage(stored.id, stored.text, stored.title, vector, stored.seq)


class _Documents:
    """Turns an engine's count of finished passages into a count of documents."""

    def __init__(self, tick: Tick | None) -> None:
        self._tick = tick
        self._firsts: deque[bool] = deque()

    def passages(self, added: Iterable[StoredPassage]) -> Iterator[Passage]:
        previous = None
        for each in added:
            self._firsts.append(each.document != previous)
            previous = each.document
            yield passage_of(each)

    def through(self, passages: int) -> None:
        finished = min(passages, len(self._firsts))  # a package may count too many
        documents = sum(self._firsts.popleft() for _ in range(finished))
        if self._tick is not None and documents:
            self._tick(documents)

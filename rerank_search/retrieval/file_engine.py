"""An engine in files that never change: a writer publishes new ones, readers keep what they have.

A snapshot is what was loaded of one publication. It never changes, so threads search it without a
lock.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import IndexReadOnlyError
from rerank_search.files import disk_errors
from rerank_search.retrieval.base import Engine, Passage, in_blocks
from rerank_search.retrieval.state import StateFile, damaged


class EngineFiles(Protocol):
    """The folder of an engine; ``published`` names the files of a state, and has its ``seq``."""

    @property
    def state(self) -> StateFile:
        """The file that says what is published."""
        ...

    def read(self) -> Any:
        """The published state."""
        ...

    def publish(self, published: Any) -> None:
        """Publish this state for readers, and delete every other file."""
        ...


class Snapshot(Protocol):
    """What is loaded of a published state."""

    @property
    def published(self) -> Any:
        """The state."""
        ...


Files = TypeVar("Files", bound=EngineFiles)
Loaded = TypeVar("Loaded", bound=Snapshot)


class FileEngine(Engine, Generic[Files, Loaded]):
    """What such engines have in common; a subclass says how a state is loaded.

    ``empty`` makes the first state of a new engine. Raises IndexCorruptedError naming a damaged
    file, IndexReadOnlyError for an update of an index opened for reading.
    """

    def __init__(
        self, directory: Path, files: Files, *, read_only: bool, empty: Callable[[], Any]
    ) -> None:
        self._directory = directory
        self._read_only = read_only
        self._lock = RLock()
        self._files = files
        if not read_only and not files.state.exists():
            with disk_errors(directory):
                directory.mkdir(parents=True, exist_ok=True)
            files.publish(empty())
        self._snapshot = self._load(None)

    @property
    def seq(self) -> int:
        """The number of the last change that is applied and published."""
        seq: int = self._snapshot.published.seq
        return seq

    def refresh(self) -> bool:
        """Load what another process has published since; return whether there was anything."""
        if not self._files.state.changed():
            return False
        with self._lock:
            self._snapshot = self._load(self._snapshot)
        return True

    def close(self) -> None:
        """Do nothing: what is loaded is freed with this object."""

    @abstractmethod
    def _loaded(self, published: Any, previous: Loaded | None) -> Loaded:
        """Load a state; ``previous`` is what was loaded before it.

        Raises FileNotFoundError if a writer has replaced a file meanwhile.
        """

    def _publish(self, published: Any) -> None:
        self._files.publish(published)
        self._snapshot = self._loaded(published, self._snapshot)

    def _load(self, previous: Loaded | None) -> Loaded:
        while True:
            published = self._files.read()
            try:
                return self._loaded(published, previous)
            except FileNotFoundError as error:
                # A writer may have published since, and deleted what it replaced.
                if not self._files.state.changed():
                    raise damaged(Path(error.filename), "it is missing") from error

    def _check_writable(self) -> None:
        if self._read_only:
            raise IndexReadOnlyError(
                f"{self._directory} was opened for reading: open the index without read_only"
            )


def new_passages(
    added: Iterable[Passage],
    size: int,
    is_known: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    progress: Callable[[int], None],
) -> Iterator[tuple[NDArray[np.int64], list[Passage]]]:
    """The ids and the passages that an engine does not have yet, in lists of ``size`` or more.

    A list has whole blocks, but one of more than ``size`` passages is cut. The passages that the
    engine has were added before a crash; ``progress`` is called with their number.
    """
    for some in _at_least(size, in_blocks(added, size)):
        ids = np.array([passage.id for passage in some], np.int64)
        known = is_known(ids)
        progress(int(known.sum()))
        if not known.all():
            yield ids[~known], [each for each, old in zip(some, known, strict=True) if not old]


def _at_least(size: int, lists: Iterable[list[Passage]]) -> Iterator[list[Passage]]:
    """Several lists as one, as soon as they have ``size`` passages together."""
    together: list[Passage] = []
    for some in lists:
        together += some
        if len(together) >= size:
            yield together
            together = []
    if together:
        yield together

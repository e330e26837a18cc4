"""First stages of other packages: any error of their code becomes one that names the package."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.entry_points import plugin_errors
from rerank_search.errors import PluginError, SearchIndexError
from rerank_search.retrieval.base import Engine, EngineSource, Passage, PassageScores, Retriever
from rerank_search.shown import counted, shown
from rerank_search.storage.files import storage_errors
from rerank_search.types import Filter, Hit

logger = logging.getLogger(__name__)


class PackagedEngine(Engine):
    """The engine of another package; ``who`` names it in errors.

    Every method raises PluginError for an error of the package's code, and for a result that
    breaks the contract. Errors of the disk stay what they are. ``search`` keeps all errors of
    rerank_search, which are about its arguments; elsewhere they are not the caller's fault.
    """

    def __init__(self, name: str, make: Callable[..., Any], source: EngineSource, who: str) -> None:
        self.name = name
        self._who = who
        self._folder = source.folder
        if isinstance(source.replaces, PackagedEngine):
            source = replace(source, replaces=source.replaces._engine)
        with self._errors("opening its folder"):
            self._engine: Engine = make(source)
        if not source.read_only and not (source.folder / "state.json").is_file():
            raise PluginError(
                f"{who} wrote no state.json into its folder: a new engine must publish one "
                "(StateFile.publish). Upgrade that package, or uninstall it"
            )
        self.incremental = bool(getattr(self._engine, "incremental", True))

    @property
    def seq(self) -> int:
        """The number of the last change that is applied and published."""
        with self._errors("telling its last change"):
            seq = self._engine.seq
        if not isinstance(seq, int):
            raise PluginError(f"{self._who} has seq={shown(seq)}, which must be a whole number")
        return seq

    def update(
        self,
        seq: int,
        added: Iterable[Passage],
        removed: Iterable[int],
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Apply all changes up to ``seq`` and publish them durably."""
        with self._errors(
            "update",
            advice="The documents are stored, and the other first stages have them. ",
        ):
            self._engine.update(seq, added, removed, progress=progress)
        if self.seq < seq:
            raise PluginError(
                f"{self._who} has seq={self.seq} after update({seq}, ...), which must set it to "
                f"{seq}. Upgrade that package, or uninstall it"
            )

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed``."""
        with plugin_errors(self._who, "search"), storage_errors(self._folder):
            found = self._engine.search(queries, k, allowed=allowed)
        return checked_list(found, PassageScores, len(queries), f"{self._who} returned from search")

    def refresh(self) -> bool:
        """Load what another process has published since; return whether there was anything."""
        with self._errors("refresh"):
            return self._engine.refresh()

    def scores(
        self, queries: Sequence[str], passages: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """The scores of each query's passages; 0 for a passage that ``search`` does not find."""
        with self._errors("scores"):
            found = self._engine.scores(queries, passages)
        return checked_list(found, np.ndarray, len(queries), f"{self._who} returned from scores")

    def compact(self) -> bool:
        """Drop the remains of removed passages; False if that needs a rebuild."""
        with self._errors("compact"):
            return self._engine.compact()

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        with self._errors("problems"):
            return self._engine.problems(expected)

    def close(self) -> None:
        """Release open files and connections; an error is logged, because nothing depends on it."""
        try:
            with self._errors("close"):
                self._engine.close()
        except PluginError as error:
            logger.warning("%s", error)

    @contextmanager
    def _errors(self, doing: str, *, advice: str = "") -> Iterator[None]:
        kept = (SearchIndexError, PluginError)
        with (
            plugin_errors(self._who, doing, advice=advice, kept=kept),
            storage_errors(self._folder),
        ):
            yield


class PackagedRetriever:
    """A first stage of another package that combines others; ``who`` names it in errors."""

    def __init__(self, retriever: Retriever, who: str) -> None:
        self.name = retriever.name
        self._retriever = retriever
        self._who = who

    def __repr__(self) -> str:
        return repr(self._retriever)

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows. Raises PluginError."""
        with plugin_errors(self._who, "retrieve"):
            found = self._retriever.retrieve(queries, k, filter=filter)
        rankings = checked_list(
            found, Sequence, len(queries), f"{self._who} returned from retrieve"
        )
        return [list(hits) for hits in rankings]


def checked_list(found: object, kind: Any, count: int, what: str) -> list[Any]:
    """``found`` as a list of ``count`` objects of a class. Raises PluginError."""
    if isinstance(found, Sequence):
        items = [each for each in found if isinstance(each, kind)]
        if len(items) == len(found) == count:
            return items
    raise PluginError(
        f"{what} {shown(found)}, which must be a list of {counted(count, kind.__name__)}, one for "
        "each query. Upgrade that package, or uninstall it"
    )

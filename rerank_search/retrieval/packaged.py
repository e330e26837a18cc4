"""First stages of other packages: any error of their code becomes one that names the package."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.entry_points import plugin_errors
from rerank_search.errors import PluginError, SearchIndexError
from rerank_search.retrieval.base import Engine, EngineSource, Passage, PassageScores, Retriever
from rerank_search.shown import counted, on_one_line, shown
from rerank_search.storage.files import storage_errors
from rerank_search.types import Filter, Hit

logger = logging.getLogger(__name__)

ADVICE = "Upgrade that package, or uninstall it"
"""What to do about a package that breaks a contract."""


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
            self.incremental = bool(getattr(self._engine, "incremental", True))
        if not source.read_only and not (source.folder / "state.json").is_file():
            self.close()
            raise PluginError(
                f"{who} wrote no state.json into its folder: a new engine must publish one "
                f"(StateFile.publish). {ADVICE}"
            )

    @property
    def seq(self) -> int:
        """The number of the last change that is applied and published."""
        with self._errors("telling its last change"):
            seq = self._engine.seq
        try:
            return index(seq)
        except TypeError:
            raise PluginError(
                f"{self._who} has seq={shown(seq)}, which must be a whole number. {ADVICE}"
            ) from None

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
                f"{seq}. {ADVICE}"
            )

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed``."""
        with plugin_errors(self._who, "search"), storage_errors(self._folder):
            found = self._engine.search(queries, k, allowed=allowed)
        what = f"{self._who} returned from search"
        each = _one_each(found, PassageScores, "PassageScores object", len(queries), what)
        return [_checked_passages(one, what) for one in each]

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
        what = f"{self._who} returned from scores"
        each = _one_each(found, np.ndarray, "array", len(queries), what)
        return [
            _checked_scores(one, len(ids), what) for one, ids in zip(each, passages, strict=True)
        ]

    def compact(self) -> bool:
        """Drop the remains of removed passages; False if that needs a rebuild."""
        with self._errors("compact"):
            return self._engine.compact()

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        with self._errors("problems"):
            found: object = self._engine.problems(expected)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise PluginError(
                f"{self._who} returned from problems {shown(found)}, which must be a list of "
                f"sentences. {ADVICE}"
            )
        return found

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
        what = f"{self._who} returned from retrieve"
        each = _one_each(found, Sequence, "list of hits", len(queries), what)
        return [_checked_hits(hits, what) for hits in each]


def _one_each(found: object, kind: Any, name: str, count: int, what: str) -> list[Any]:
    """``found`` as a list of one object of a class for each query. Raises PluginError."""
    if isinstance(found, Sequence) and len(found) == count:
        items = list(found)
        if all(isinstance(each, kind) for each in items):
            return items
    raise PluginError(
        f"{what} {shown(found)}, which must be a list of length {count}: one {name} for each "
        f"query. {ADVICE}"
    )


def _checked_hits(hits: Sequence[object], what: str) -> list[Hit]:
    """The hits of one query as a list. Raises PluginError."""
    found: list[Hit] = []
    for hit in hits:
        if not isinstance(hit, Hit):
            raise PluginError(f"{what} {shown(hit)} as a hit, which must be a Hit. {ADVICE}")
        if not isinstance(hit.score, Real) or not math.isfinite(hit.score):
            raise PluginError(
                f"{what} a hit with score={shown(hit.score)}, which must be a finite number. "
                f"{ADVICE}"
            )
        found.append(hit)
    return found


def _checked_passages(found: PassageScores, what: str) -> PassageScores:
    """The passages of one query, with ids of type int64. Raises PluginError."""
    ids = found.ids
    whole = isinstance(ids, np.ndarray) and (ids.dtype.kind in "iu" or not ids.size)
    if not whole or ids.ndim != 1:
        raise PluginError(
            f"{what} PassageScores with ids={on_one_line(shown(ids))}, which must be a "
            f"one-dimensional array of integers. {ADVICE}"
        )
    return PassageScores(ids.astype(np.int64), _checked_scores(found.scores, len(ids), what))


def _checked_scores(scores: object, count: int, what: str) -> NDArray[np.float32]:
    """The scores of one query's passages. Raises PluginError."""
    if (
        not isinstance(scores, np.ndarray)
        or scores.shape != (count,)
        or scores.dtype.kind not in "if"
        or not np.isfinite(scores).all()
    ):
        raise PluginError(
            f"{what} the scores {on_one_line(shown(scores))}, which must be a one-dimensional "
            f"array of finite numbers, one for each of {counted(count, 'passage')}. {ADVICE}"
        )
    return scores

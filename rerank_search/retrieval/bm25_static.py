"""BM25 on bm25s, for a fixed collection where k1, b or the variant matter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.built_in_stages import BM25
from rerank_search.errors import (
    IndexMismatchError,
    IndexReadOnlyError,
    InvalidInputError,
    MissingDependencyError,
)
from rerank_search.files import disk_errors, fsync_directory
from rerank_search.queries import checked_k
from rerank_search.retrieval.analysis import (
    QueryTerms,
    StopWords,
    Words,
    known,
    recorded_analysis,
)
from rerank_search.retrieval.base import Engine, Passage, PassageScores
from rerank_search.retrieval.state import StateFile, damaged, differences, reading
from rerank_search.retrieval.ties import EMPTY, complete
from rerank_search.types import Span

VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
"""Variants of BM25 (Kamphuis et al., "Which BM25 do you mean?", ECIR 2020)."""

IDS_FILE = "ids.npy"


@dataclass(frozen=True)
class _Content:
    """The content of one version directory.

    ``scorer`` is a ``bm25s.BM25``, or None if no passage has a word; its columns are in the order
    of ``ids``."""

    seq: int
    ids: NDArray[np.int64]
    scorer: Any

    def scores(self, terms: list[str]) -> tuple[NDArray[np.float32], float]:
        """The scores of all passages, and that of one that has none of the terms.

        bm25l and bm25+ give a score to such a passage too.
        """
        known = self.scorer.get_tokens_ids(terms)
        if not known:
            return np.zeros(len(self.ids), np.float32), 0.0
        nothing = self.scorer.nonoccurrence_array
        floor = 0.0 if nothing is None else float(nothing[np.array(known)].sum())
        return self.scorer.get_scores_from_ids(known), floor

    def frequency(self, term: str) -> int:
        """The number of passages that have the term."""
        starts = self.scorer.scores["indptr"]
        return sum(int(starts[id + 1] - starts[id]) for id in self.scorer.get_tokens_ids([term]))


class Bm25StaticIndex(Engine):
    """BM25 scores of all words in all passages, computed when the index is built.

    An update builds it again from ``corpus()``, which must give the passages as of that update.
    Each version is a directory of ``.npy`` and JSON files; ``state.json`` names the current one.
    ``analysis`` is the version for a new index, by default the newest of the analyzer; an existing
    index keeps its own.
    A passage whose words all have an IDF of 0 (variants ``robertson`` and ``atire``) is not found.

    Raises MissingDependencyError without bm25s, InvalidInputError for an unknown variant,
    IndexMismatchError for parameters other than those it was built with, IndexCorruptedError
    naming a damaged version, IndexReadOnlyError for an update of an index opened for reading.
    """

    name: str = BM25
    incremental = False

    def __init__(
        self,
        directory: Path,
        corpus: Callable[[], Iterable[Passage]],
        *,
        analyzer: str = "english",
        analysis: int | None = None,
        stop_words: StopWords | None = None,
        k1: float = 1.2,
        b: float = 0.75,
        variant: str = "lucene",
        read_only: bool = False,
    ) -> None:
        if variant not in VARIANTS:
            raise InvalidInputError(
                f"there is no BM25 variant {variant!r}: choose one of {', '.join(VARIANTS)}"
            )
        if not (k1 >= 0 and 0 <= b <= 1):
            raise InvalidInputError(
                f"k1={k1} and b={b} cannot be used: give k1 >= 0 and b from 0 to 1"
            )
        self._bm25s = _bm25s()
        self._directory = directory
        self._corpus = corpus
        self._parameters = {"k1": k1, "b": b, "variant": variant}
        self._read_only = read_only
        self._state = StateFile(directory)
        if not read_only and not self._state.exists():
            with disk_errors(directory):
                directory.mkdir(parents=True, exist_ok=True)
            self._state.publish(
                {
                    "seq": 0,
                    "version": 0,
                    "has_words": False,
                    "analysis": analysis or known(analyzer).version,
                    **self._parameters,
                }
            )
        self.analysis = recorded_analysis(directory)
        self._words = Words(analyzer, self.analysis, stop_words=stop_words)
        self._content = self._load()

    @property
    def seq(self) -> int:
        """The number of the last change that is applied and published."""
        return self._content.seq

    @property
    def count(self) -> int:
        """The number of passages that can be found."""
        return len(self._content.ids)

    def update(
        self,
        seq: int,
        added: Iterable[Passage],
        removed: Iterable[int],
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Build the index again from ``corpus()`` and publish it as of ``seq``.

        ``progress`` is not called: passages are not added one by one.
        """
        if self._read_only:
            raise IndexReadOnlyError(
                f"{self._directory} was opened for reading: open the index without read_only"
            )
        ids, terms = [], []
        for passage in self._corpus():
            ids.append(passage.id)
            terms.append(self._words.terms(passage.text))
        content = _Content(seq, np.array(ids, dtype=np.int64), self._scorer(terms))
        version = self._state.read()["version"] + 1
        self._save(content, self._path(version))
        self._state.publish(
            {
                "seq": seq,
                "version": version,
                "has_words": content.scorer is not None,
                "analysis": self.analysis,
                **self._parameters,
            }
        )
        self._content = content
        for old in self._directory.glob("version-*"):
            if old != self._path(version):
                shutil.rmtree(old, ignore_errors=True)  # a reader may be opening it

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed``, with all ties of the last.

        Every word is a plain word; a repeated one counts as often as it appears.
        """
        k = checked_k(k)
        content = self._content
        mask = None if allowed is None else np.isin(content.ids, allowed)
        return [
            _best(content, self._words.of_query(query, content.frequency), k, mask)
            if content.scorer
            else EMPTY
            for query in queries
        ]

    def compact(self) -> bool:
        """True, with nothing to do: each update builds everything again."""
        return True

    def matches(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Where in each text the words of the query stand."""
        content = self._content
        if content.scorer is None:
            return [[] for _ in texts]
        return self._words.matches(self._words.of_query(query, content.frequency), texts)

    def refresh(self) -> bool:
        """Load what another process has published since; return whether there was anything."""
        if not self._state.changed():
            return False
        self._content = self._load()
        return True

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        return differences(self.name, self._content.ids, expected) + self._words.outdated()

    def close(self) -> None:
        """Do nothing, since nothing is kept open."""

    def _scorer(self, terms: list[list[str]]) -> Any:
        if not any(terms):
            return None
        scorer = self._bm25s.BM25(
            k1=self._parameters["k1"],
            b=self._parameters["b"],
            method=self._parameters["variant"],
        )
        scorer.index(terms, show_progress=False)
        return scorer

    def _path(self, version: int) -> Path:
        return self._directory / f"version-{version}"

    def _save(self, content: _Content, path: Path) -> None:
        try:
            with disk_errors(path):
                path.mkdir(exist_ok=True)
                np.save(path / IDS_FILE, content.ids, allow_pickle=False)
                if content.scorer is not None:
                    content.scorer.save(path, allow_pickle=False, show_progress=False)
                for file in path.iterdir():
                    with file.open("rb+") as written:
                        os.fsync(written.fileno())
                fsync_directory(path)
                fsync_directory(self._directory)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def _load(self) -> _Content:
        while True:
            state = self._state.read()
            built = {name: state.get(name) for name in self._parameters}
            if built != self._parameters:
                raise IndexMismatchError(
                    f"{self._directory} was built with {built}, not with {self._parameters}: open "
                    "it with those that it was built with, or build it again"
                )
            try:
                return self._load_version(state)
            except FileNotFoundError as error:
                # A writer may have published since, and deleted what it replaced.
                if not self._state.changed():
                    raise damaged(Path(error.filename), "it is missing") from error

    def _load_version(self, state: dict[str, Any]) -> _Content:
        seq, version = state["seq"], state["version"]
        if version == 0:
            return _Content(seq, np.empty(0, np.int64), None)
        path = self._path(version)
        with reading(path):
            ids = np.load(path / IDS_FILE, allow_pickle=False)
            if not state["has_words"]:
                return _Content(seq, ids, None)
            scorer = self._bm25s.BM25.load(path, allow_pickle=False, show_progress=False)
            if scorer.scores["num_docs"] != len(ids):
                raise damaged(
                    path, f"it has {len(ids)} ids for {scorer.scores['num_docs']} passages"
                )
        return _Content(seq, ids, scorer)


def _best(
    content: _Content, query: QueryTerms, k: int, mask: NDArray[np.bool_] | None
) -> PassageScores:
    scores, floor = content.scores(query.terms)
    for term, weight in query.weighted.items():
        own, below = content.scores([term])
        scores, floor = scores + weight * own, floor + weight * below
    matching = scores > floor + 1e-6
    places = np.flatnonzero(matching if mask is None else matching & mask)

    def best(limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32], bool]:
        some = places
        if limit < len(places):
            some = places[np.argpartition(-scores[places], limit - 1)[:limit]]
        some = some[np.argsort(-scores[some], kind="stable")]
        return content.ids[some], scores[some], limit >= len(places)

    return complete(best, k, k + 1)


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingDependencyError(
            "the BM25 engine bm25s is not installed: run `pip install 'rerank-search[bm25s]'`, or "
            "use the engine tantivy"
        ) from error
    return bm25s

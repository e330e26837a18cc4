"""Learned sparse retrieval: passages by the dot product of their sparse vectors and the query's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.built_in_stages import SPARSE
from rerank_search.errors import IndexCorruptedError
from rerank_search.models.prompts import Prompts
from rerank_search.queries import checked_k
from rerank_search.remembered import Remembered
from rerank_search.retrieval.base import (
    EngineSource,
    Passage,
    PassageScores,
    SparseTextVectors,
    in_blocks,
)
from rerank_search.retrieval.file_engine import FileEngine, new_passages
from rerank_search.retrieval.sparse_files import Postings, Published, SparseFiles, inverted
from rerank_search.retrieval.sparse_vectors import SparseVector, joined
from rerank_search.retrieval.state import damaged, differences
from rerank_search.retrieval.ties import EMPTY, complete

ENCODED_AT_ONCE = 1024
"""Passages whose vectors are in memory together before they are written."""

TOLD_AFTER = 64
"""Passages between two reports of progress: seconds of encoding on a CPU."""

QUERIES_REMEMBERED = 64
"""Number of queries whose vectors are kept: a search needs each one twice."""

FEWEST_COMPACTED = 1000
"""Fewest removed passages for which the others are written again."""


class SparseIndex(FileEngine[SparseFiles, "_Snapshot"]):
    """Postings of the sparse vectors of all passages. Exact, with and without a filter.

    ``prompts`` are put before queries and passages. Adding a few passages writes only these.
    Removed passages are skipped, and dropped when they are more than half of all (or by
    ``compact``).

    Raises IndexCorruptedError naming a damaged file, IndexReadOnlyError for an update of an index
    opened for reading.
    """

    name: str = SPARSE

    def __init__(
        self,
        directory: Path,
        encoder: SparseTextVectors,
        *,
        prompts: Prompts,
        read_only: bool = False,
    ) -> None:
        self._encoder = encoder
        self._prompts = prompts
        self._queries: Remembered[str, SparseVector] = Remembered(QUERIES_REMEMBERED)
        super().__init__(
            directory, SparseFiles(directory), read_only=read_only, empty=lambda: Published(0)
        )

    @property
    def count(self) -> int:
        """The number of passages that are not removed."""
        return int(sum(alive.sum() for alive in self._snapshot.alive))

    def update(
        self,
        seq: int,
        added: Iterable[Passage],
        removed: Iterable[int],
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Apply all changes up to ``seq`` and publish them durably.

        ``progress`` is called with numbers of passages that are encoded, now or before.
        """
        self._check_writable()
        with self._lock:
            published, stored = self._snapshot.published, self._snapshot.ids
            written = [stored]
            for ids, new in new_passages(
                added, ENCODED_AT_ONCE, lambda ids: np.isin(ids, stored), progress
            ):
                published = self._files.write_segment(published, self._encoded(new, progress))
                written.append(ids)
            known = np.concatenate(written)
            gone = np.intersect1d(np.fromiter(removed, np.int64), known)
            if len(gone):
                gone = np.union1d(gone, self._files.removed(published))
                published = self._files.write_removed(published, gone)
            self._publish(replace(published, seq=seq))
            if self._removed > max(FEWEST_COMPACTED, len(known) // 2):
                self.compact()

    def compact(self) -> bool:
        """Drop the postings of removed passages from disk."""
        self._check_writable()
        with self._lock:
            published = self._snapshot.published
            if published.removed is not None:
                removed = self._files.removed(published)
                self._publish(self._files.write_without(published, removed))
        return True

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed``, with all ties of the last.

        A passage is found if it shares a token with the query. A query whose vector is 0 finds
        nothing, and so does one without a letter or a digit.
        """
        k = checked_k(k)
        snapshot = self._snapshot
        if not snapshot.segments:
            return [EMPTY for _ in queries]
        usable = snapshot.alive
        if allowed is not None:
            usable = [
                alive & np.isin(each.ids, allowed)
                for each, alive in zip(snapshot.segments, snapshot.alive, strict=True)
            ]
        vectors = self._query_vectors(queries)
        return [self._best(snapshot, vector, k, usable) for vector in vectors]

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        snapshot = self._snapshot
        found = snapshot.ids[np.concatenate([np.empty(0, np.bool_), *snapshot.alive])]
        problems = differences(self.name, found, expected)
        return problems + self._files.problems(snapshot.published, self._encoder.dimension)

    def _best(
        self,
        snapshot: _Snapshot,
        vector: SparseVector,
        k: int,
        usable: Sequence[NDArray[np.bool_]],
    ) -> PassageScores:
        ids, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for postings, allowed in zip(snapshot.segments, usable, strict=True):
            rows, own = self._scored(postings, vector)
            keep = allowed[rows]
            ids.append(postings.ids[rows[keep]])
            scores.append(own[keep])
        every_id, every_score = np.concatenate(ids), np.concatenate(scores)

        def best(limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32], bool]:
            total = len(every_score)
            if limit >= total:
                order = np.argsort(-every_score, kind="stable")
            else:
                first = np.argpartition(-every_score, limit - 1)[:limit]
                order = first[np.argsort(-every_score[first], kind="stable")]
            return every_id[order], every_score[order], limit >= total

        return complete(best, k, k + 1)

    def _scored(
        self, postings: Postings, vector: SparseVector
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows of a segment that share a token with the query, and their dot products."""
        tokens, weights = vector
        rows, products = [np.empty(0, np.int32)], [np.empty(0, np.float64)]
        for place, where in postings.of(tokens):
            rows.append(postings.rows[where])
            products.append(postings.weights[where] * np.float64(weights[place]))
        every = np.concatenate(rows)
        if not len(every):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        count = len(postings.ids)
        if int(every.min()) < 0 or int(every.max()) >= count:
            raise damaged(self._directory, "postings of passages that are not there")
        found = np.flatnonzero(np.bincount(every, minlength=count))
        # Summed in order of tokens, so that equal vectors have equal scores in every segment.
        sums = np.bincount(every, np.concatenate(products), minlength=count)
        return found, sums[found].astype(np.float32)

    def _query_vectors(self, queries: Sequence[str]) -> list[SparseVector]:
        worded = dict.fromkeys(query for query in queries if any(map(str.isalnum, query)))
        known = self._queries.known(worded)
        new = [query for query in worded if query not in known]
        if new:
            made = self._encoder.encode(new, task="query", prompt=self._prompts.query)
            fresh = {query: made[place] for place, query in enumerate(new)}
            self._queries.remember(fresh)
            known |= fresh
        nothing = np.empty(0, np.int32), np.empty(0, np.float32)
        return [known.get(query, nothing) for query in queries]

    def _encoded(self, passages: Sequence[Passage], progress: Callable[[int], None]) -> Postings:
        vectors: list[SparseVector] = []
        for some in in_blocks(passages, TOLD_AFTER):
            texts = [passage.text for passage in some]
            made = self._encoder.encode(texts, task="document", prompt=self._prompts.document)
            vectors.extend(made[place] for place in range(len(made)))
            progress(len(some))
        return inverted(np.array([passage.id for passage in passages], np.int64), joined(vectors))

    def _loaded(self, published: Published, previous: _Snapshot | None) -> _Snapshot:
        return _snapshot(self._files, published)

    @property
    def _removed(self) -> int:
        return len(self._snapshot.ids) - self.count


@dataclass(frozen=True)
class _Snapshot:
    """The postings of one publish. It never changes, so threads search it without a lock.

    ``alive`` says which passages of each segment are not removed.
    """

    published: Published
    segments: Sequence[Postings]
    alive: Sequence[NDArray[np.bool_]]

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all passages, removed ones included."""
        return np.concatenate([np.empty(0, np.int64), *(each.ids for each in self.segments)])


def _snapshot(files: SparseFiles, published: Published) -> _Snapshot:
    segments, removed = files.segments(published), files.removed(published)
    alive = [~np.isin(each.ids, removed) for each in segments]
    return _Snapshot(published, segments, alive)


def opened(source: EngineSource) -> SparseIndex:
    """The sparse vectors of an index. Raises IndexCorruptedError if it names no sparse encoder."""
    recorded = source.manifest.sparse_encoder
    if source.sparse_encoder is None or recorded is None:
        raise IndexCorruptedError(
            f"{source.folder} has sparse vectors, but its index has no sparse encoder: restore the "
            "index from a copy"
        )
    return SparseIndex(
        source.folder,
        source.sparse_encoder,
        prompts=recorded.prompts,
        read_only=source.read_only,
    )

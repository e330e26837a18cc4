"""Dense retrieval: passages by the cosine of their vectors and the query's."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import one_of
from rerank_search.built_in_stages import DENSE
from rerank_search.errors import IndexCorruptedError, IndexMismatchError, InvalidInputError
from rerank_search.models.prompts import Prompts, Task
from rerank_search.queries import checked_k
from rerank_search.retrieval.base import (
    EngineSource,
    Passage,
    PassageScores,
    TextVectors,
    in_blocks,
)
from rerank_search.retrieval.file_engine import FileEngine, new_passages
from rerank_search.retrieval.given_vectors import GivenVectors
from rerank_search.retrieval.state import damaged, differences
from rerank_search.retrieval.ties import EMPTY
from rerank_search.retrieval.vector_codes import rotated, stored, widened
from rerank_search.retrieval.vector_files import Published, VectorFiles
from rerank_search.retrieval.vector_graph import build_graph, graph_is_due
from rerank_search.retrieval.vector_snapshot import VectorSnapshot, load_snapshot
from rerank_search.types import VectorDtype
from rerank_search.vectors import EncodedQuery

HNSW_ABOVE = 200_000
"""Number of vectors above which an index searches a graph; up to it, it reads all (10 ms)."""

ENCODED_AT_ONCE = 8192
"""Passages whose vectors are in memory together before they are written."""

TOLD_AFTER = 65_536
"""Characters of passages between two reports of progress: a few seconds of encoding on a CPU.

They are encoded together. With fewer, cores wait more often for the last batch of another."""

LENGTH_ERROR: Mapping[VectorDtype, float] = {"float32": 0.01, "float16": 0.01, "int8": 0.05}
"""Most by which the length of a stored vector may differ from 1."""

FEWEST_COMPACTED = 1000
"""Fewest removed rows for which the other rows are written again."""


class VectorIndex(FileEngine[VectorFiles, VectorSnapshot]):
    """Vectors of all passages. Exact up to ``hnsw_above`` vectors, and always exact with a filter.

    ``dtype="float16"`` halves memory and disk, "int8" quarters them; sums are float32 in all cases.
    Scores are cosines; those of int8 differ from the exact ones by about 0.0005.
    A new index puts ``prompts`` before texts; an existing one keeps its own, since vectors of
    queries and of documents have to match. With GivenVectors in place of an encoder, passages and
    queries bring their vectors with them.
    Adding a few passages writes only these. Removed rows are skipped, and dropped when they are
    more than half of all (or by ``compact``).

    Raises IndexCorruptedError naming a damaged file, IndexMismatchError for vectors of another
    length than those stored, IndexReadOnlyError for an update of an index opened for reading.
    """

    name: str = DENSE

    def __init__(
        self,
        directory: Path,
        encoder: TextVectors | GivenVectors,
        *,
        dtype: VectorDtype = "float32",
        hnsw_above: int = HNSW_ABOVE,
        read_only: bool = False,
        prompts: Prompts | None = None,
    ) -> None:
        one_of("dtype", dtype, get_args(VectorDtype))
        self._encoder = encoder
        self._hnsw_above = hnsw_above

        def empty() -> Published:
            # Random, so that a reader never mixes up rows of this index and of one it replaces.
            return Published(0, dtype, generation=secrets.randbits(32), prompts=prompts)

        super().__init__(directory, VectorFiles(directory), read_only=read_only, empty=empty)

    @property
    def count(self) -> int:
        """The number of passages that can be found."""
        return self._snapshot.count

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
        An update that brings the index above ``hnsw_above`` builds the graph (about a minute for
        200,000 vectors), and an update after which more than a quarter as many vectors are outside
        the graph as in it extends it. The passages are stored and can be found before that.
        """
        self._check_writable()
        with self._lock:
            published, new_ids = self._written(added, progress)
            rows = len(self._snapshot.ids) + len(new_ids)
            gone = np.fromiter(removed, dtype=np.int64)
            gone = gone[(self._snapshot.rows_of(gone) >= 0) | np.isin(gone, new_ids)]
            if len(gone):
                gone = np.union1d(gone, self._files.removed(published))
                published = self._files.write_removed(published, gone)
            self._publish(replace(published, seq=seq))
            if self._removed_rows() > max(FEWEST_COMPACTED, rows // 2):
                self.compact()
            self._extend_graph()

    @property
    def foresees(self) -> bool:
        """Whether the encoder computes elsewhere, and gains by being told all passages first."""
        return bool(getattr(self._encoder, "foresees", False))

    def foresee(self, added: Iterable[Passage]) -> None:
        """Tell the encoder the texts of these passages, as it will get them."""
        prompts = self.prompts
        cast("Any", self._encoder).foresee(
            self._texts(added),
            task=None if prompts is None else "document",
            prompt=None if prompts is None else prompts.document,
        )

    def _texts(self, added: Iterable[Passage]) -> Iterator[list[str]]:
        for _, new in self._new(added, lambda _: None):
            for part in _parts(new):
                yield [new[place].text for place in part]

    def _new(
        self, added: Iterable[Passage], progress: Callable[[int], None]
    ) -> Iterator[tuple[NDArray[np.int64], list[Passage]]]:
        rows_of = self._snapshot.rows_of
        return new_passages(added, ENCODED_AT_ONCE, lambda ids: rows_of(ids) >= 0, progress)

    def compact(self) -> bool:
        """Drop the rows of removed passages from memory and from disk."""
        self._check_writable()
        with self._lock:
            if not self._removed_rows():
                return True
            published = self._snapshot.published
            removed = self._files.removed(published)
            kept = [
                (ids[keep], rows[keep])
                for ids, rows in self._files.segments(published)
                if (keep := ~np.isin(ids, removed)).any()
            ]
            compacted = replace(
                published,
                generation=published.generation + 1,
                segments=(),
                removed=None,
                graph=None,
                graph_rows=0,
            )
            if kept:
                compacted = self._files.write_segment(
                    compacted, [ids for ids, _ in kept], [rows for _, rows in kept]
                )
            self._publish(compacted)
            self._extend_graph()
        return True

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed``, with all ties of the last.

        A query without a letter or a digit finds nothing, unless queries bring their vectors.
        """
        k = checked_k(k)
        given = isinstance(self._encoder, GivenVectors)
        worded = [
            place
            for place, query in enumerate(queries)
            if isinstance(query, EncodedQuery)
            or (query.strip() if given else any(map(str.isalnum, query)))
        ]
        results = [EMPTY for _ in queries]
        if worded and (self.count or given):
            vectors = self.query_vectors([queries[place] for place in worded])
            found = self.search_vectors(vectors, k, allowed)
            for place, scores in zip(worded, found, strict=True):
                results[place] = scores
        return results

    def query_vectors(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries, shape (queries, d): their own, or made with this index's prompts.

        Raises InvalidInputError for a query without a vector that needs one, and the other way
        round.
        """
        if isinstance(self._encoder, GivenVectors):
            return self._encoder.of_queries(queries)
        if any(isinstance(query, EncodedQuery) for query in queries):
            raise InvalidInputError(
                "the index makes the vectors of queries with its encoder, so a query cannot bring "
                "its own: leave query_vector out, or search an index of your own vectors"
            )
        return self._vectors(self._encoder, queries, "query")

    @property
    def prompts(self) -> Prompts | None:
        """The prompts put before queries and passages; None if both are encoded alike."""
        return self._snapshot.published.prompts

    def search_vectors(
        self,
        vectors: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
    ) -> list[PassageScores]:
        """The best passages, as in ``search``, of vectors of length 1, (queries, d), float32."""
        k = checked_k(k)
        snapshot = self._snapshot
        if not len(snapshot.ids):
            return [EMPTY for _ in vectors]
        self._check_dimension(vectors.shape[1])
        return snapshot.search(rotated(vectors, snapshot.published.dtype), k, allowed)

    def similarities(
        self, vectors: NDArray[np.float32], passages: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """Cosines of each vector and its passages; 0 for a passage that is not here."""
        snapshot = self._snapshot
        if not len(snapshot.ids):
            return [np.zeros(len(ids), dtype=np.float32) for ids in passages]
        self._check_dimension(vectors.shape[1])
        pairs = zip(rotated(vectors, snapshot.published.dtype), passages, strict=True)
        return [snapshot.similarities(vector, ids) for vector, ids in pairs]

    def scores(
        self, queries: Sequence[str], passages: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """The cosines of each query and its passages; 0 for a passage that is not here."""
        return self.similarities(self.query_vectors(queries), passages)

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        snapshot, dtype = self._snapshot, self._snapshot.published.dtype
        found = snapshot.ids if snapshot.alive is None else snapshot.ids[snapshot.alive]
        problems = differences(self.name, found, expected)
        for (_, rows), segment in zip(
            self._files.segments(snapshot.published), snapshot.published.segments, strict=True
        ):
            for start in range(0, len(rows), ENCODED_AT_ONCE):
                some = widened(rows[start : start + ENCODED_AT_ONCE], dtype)
                if not np.allclose(np.linalg.norm(some, axis=1), 1.0, atol=LENGTH_ERROR[dtype]):
                    path = self._directory / segment.vectors
                    problems.append(str(damaged(path, "it has vectors whose length is not 1")))
                    break
        return problems

    def _written(
        self, added: Iterable[Passage], progress: Callable[[int], None]
    ) -> tuple[Published, NDArray[np.int64]]:
        """The published state with segments of the new passages, and the ids of these."""
        published = self._snapshot.published
        written = [np.empty(0, np.int64)]
        for ids, new in self._new(added, progress):
            if isinstance(self._encoder, GivenVectors):
                vectors = self._encoder.of_passages(new)
                progress(len(new))
            else:
                vectors = self._encoded(self._encoder, new, progress)
            self._check_dimension(vectors.shape[1])
            published = self._files.write_segment(
                published, [ids], [stored(vectors, published.dtype)]
            )
            written.append(ids)
        return published, np.concatenate(written)

    def _encoded(
        self, encoder: TextVectors, passages: Sequence[Passage], progress: Callable[[int], None]
    ) -> NDArray[np.float32]:
        places, vectors = [], []
        for part in _parts(passages):
            texts = [passages[place].text for place in part]
            places.append(part)
            vectors.append(self._vectors(encoder, texts, "document"))
            progress(len(texts))
        return np.concatenate(vectors)[np.argsort(np.concatenate(places))]

    def _vectors(
        self, encoder: TextVectors, texts: Sequence[str], task: Task
    ) -> NDArray[np.float32]:
        if self.prompts is None:
            return encoder.encode(texts)
        return encoder.encode(texts, task=task, prompt=self.prompts.of(task))

    def _loaded(self, published: Published, previous: VectorSnapshot | None) -> VectorSnapshot:
        return load_snapshot(self._files, published, previous)

    def _extend_graph(self) -> None:
        if graph_is_due(self._snapshot.published, self._hnsw_above):
            self._publish(build_graph(self._files, self._snapshot.published))

    def _removed_rows(self) -> int:
        return len(self._snapshot.ids) - self._snapshot.count

    def _check_dimension(self, dimension: int) -> None:
        stored = self._snapshot.published.dimension
        if stored is not None and stored != dimension:
            raise IndexMismatchError(
                f"{self._directory} holds vectors of length {stored}, and the encoder "
                f"{self._encoder.name!r} makes vectors of length {dimension}: open the index with "
                "the encoder that it was built with, or build it again"
            )


def opened(source: EngineSource) -> VectorIndex:
    """The vectors of an index. Raises IndexCorruptedError if nothing makes or brings vectors."""
    is_new = not source.read_only and not (source.folder / "state.json").exists()
    dimension, prompts = source.manifest.dimension, None
    if dimension is not None:
        vectors: TextVectors | GivenVectors = GivenVectors(dimension)
    elif source.encoder is not None:
        vectors, prompts = source.encoder, source.encoder.prompts if is_new else None
    else:
        raise IndexCorruptedError(
            f"{source.folder} has vectors, but its index has no encoder: restore the index from a "
            "copy"
        )
    return VectorIndex(
        source.folder,
        vectors,
        dtype=source.manifest.vector_dtype,
        hnsw_above=source.manifest.hnsw_above,
        read_only=source.read_only,
        prompts=prompts,
    )


def _parts(passages: Sequence[Passage]) -> Iterator[NDArray[np.int64]]:
    """Positions of the passages that are encoded together: of one block, of similar length.

    So little of a batch is padding. In float32 the last bits of a vector depend on the texts that
    are encoded with it, which are the same whether a build was interrupted or not.
    """
    start = 0
    for block in in_blocks(passages, ENCODED_AT_ONCE):
        lengths = np.array([len(passage.text) for passage in block])
        order = np.argsort(-lengths, kind="stable")
        part = np.cumsum(lengths[order]) // TOLD_AFTER
        parts = np.split(order, np.flatnonzero(np.diff(part)) + 1)
        # Shuffled, so that after any part the share of finished passages is about that of the time.
        for place in np.random.default_rng(0).permutation(len(parts)):
            yield start + parts[place]
        start += len(block)

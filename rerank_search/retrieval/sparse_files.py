"""Postings of sparse vectors on disk: immutable segments, removed ids, and the published state.

A segment has five ``.npy`` files: the ids of its passages (int64), the dimensions that any of them
has (``tokens``, int32, ascending), where the postings of each begin (``starts``, int64, one more
than tokens), and the postings themselves: the passage's row in ``ids`` (``rows``, int32, ascending
within a token) and its weight (``weights``, float32).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.array_files import (
    load_array,
    publish_arrays,
    sorted_ids,
    write_array,
    write_parts,
)
from rerank_search.retrieval.sparse_vectors import SparseVectors
from rerank_search.retrieval.state import StateFile, damaged

_DTYPES: dict[str, np.dtype[Any]] = {
    "ids": np.dtype(np.int64),
    "tokens": np.dtype(np.int32),
    "starts": np.dtype(np.int64),
    "rows": np.dtype(np.int32),
    "weights": np.dtype(np.float32),
}
"""The arrays of a segment."""

MERGED_AT_ONCE = 4_000_000
"""Postings that are in memory together when segments are merged: about 100 MB."""


@dataclass(frozen=True)
class Segment:
    """The files of ``count`` passages; ``number`` is part of their names."""

    number: int
    count: int

    def file(self, array: str) -> str:
        """The name of the file of one of its arrays."""
        return f"{array}-{self.number}.npy"


@dataclass(frozen=True)
class Published:
    """The content of ``state.json``."""

    seq: int
    segments: tuple[Segment, ...] = ()
    removed: str | None = None
    next_number: int = 1

    @property
    def files(self) -> set[str]:
        """The names of all files in use."""
        names = {segment.file(array) for segment in self.segments for array in _DTYPES}
        return names | ({self.removed} if self.removed else set())


@dataclass(frozen=True)
class Postings:
    """The arrays of a segment; see the module."""

    ids: NDArray[np.int64]
    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    def of(self, tokens: NDArray[np.int32]) -> Iterator[tuple[int, slice]]:
        """The places of those ``tokens`` that the segment has, and where their postings are."""
        places = np.searchsorted(self.tokens, tokens)
        for place, (own, token) in enumerate(zip(places.tolist(), tokens.tolist(), strict=True)):
            if own < len(self.tokens) and self.tokens[own] == token:
                yield place, slice(int(self.starts[own]), int(self.starts[own + 1]))


def inverted(ids: NDArray[np.int64], vectors: SparseVectors) -> Postings:
    """The postings of passages, given the vector of each."""
    order = np.argsort(vectors.tokens, kind="stable")
    tokens, counts = np.unique(vectors.tokens, return_counts=True)
    return Postings(
        ids,
        tokens,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        vectors.texts[order].astype(np.int32),
        vectors.weights[order],
    )


class SparseFiles:
    """The directory of a sparse index. Raises IndexCorruptedError naming a damaged file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = StateFile(directory)

    def read(self) -> Published:
        """The published state."""
        state = self.state.read()
        try:
            segments = tuple(Segment(**segment) for segment in state.pop("segments"))
            return Published(segments=segments, **state)
        except (KeyError, TypeError) as error:
            raise damaged(self.state.path, error) from error

    def publish(self, published: Published) -> None:
        """Publish this state for readers, and delete every other file of postings."""
        publish_arrays(self.state, asdict(published), published.files)

    def write_segment(self, published: Published, postings: Postings) -> Published:
        """``published`` with a segment added at the end, written but not yet published.

        It is merged with the last segments until each segment is less than half the one before it.
        So there are at most log2(passages) segments.
        """
        kept = list(published.segments)
        count = len(postings.ids)
        merged = [postings]
        while kept and kept[-1].count <= 2 * count:
            merged.insert(0, self._segment(kept.pop()))
            count += len(merged[0].ids)
        segment = Segment(published.next_number, count)
        self._write(segment, merged, [np.ones(len(each.ids), np.bool_) for each in merged])
        return replace(published, segments=(*kept, segment), next_number=segment.number + 1)

    def write_without(self, published: Published, removed: NDArray[np.int64]) -> Published:
        """``published`` with one segment, without the ``removed`` passages."""
        segments = self.segments(published)
        kept = [~np.isin(each.ids, removed) for each in segments]
        count = sum(int(each.sum()) for each in kept)
        number = published.next_number
        without = replace(published, segments=(), removed=None, next_number=number + 1)
        if not count:
            return without
        segment = Segment(number, count)
        self._write(segment, segments, kept)
        return replace(without, segments=(segment,))

    def write_removed(self, published: Published, removed: NDArray[np.int64]) -> Published:
        """``published`` with ``removed`` (sorted ids) as the list of removed passages."""
        name = f"removed-{published.next_number}.npy"
        write_array(self.directory / name, [removed])
        return replace(published, removed=name, next_number=published.next_number + 1)

    def segments(self, published: Published) -> list[Postings]:
        """The postings of each segment, memory-mapped."""
        return [self._segment(segment) for segment in published.segments]

    def removed(self, published: Published) -> NDArray[np.int64]:
        """Sorted ids of removed passages."""
        return sorted_ids(self.directory, published.removed)

    def _write(
        self, segment: Segment, parts: Sequence[Postings], kept: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Write the ``kept`` passages of some segments as one; its postings are never all read."""
        rows = [
            (np.cumsum(each) - 1 + before).astype(np.int32)
            for each, before in zip(
                kept, np.cumsum([0, *(each.sum() for each in kept)]).tolist(), strict=False
            )
        ]

        def merged() -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]]:
            """Tokens, rows and weights of the postings, some tokens at a time."""
            for first, end in _blocks(parts):
                found = []
                for part, keep, new in zip(parts, kept, rows, strict=True):
                    start, stop = np.searchsorted(part.tokens, [first, end])
                    where = slice(int(part.starts[start]), int(part.starts[stop]))
                    counts = np.diff(part.starts[start : stop + 1])
                    old = part.rows[where]
                    left = keep[old]
                    own = np.repeat(part.tokens[start:stop], counts)[left]
                    found.append((own, new[old[left]], part.weights[where][left]))
                tokens, new_rows, weights = (
                    np.concatenate(each) for each in zip(*found, strict=True)
                )
                order = np.argsort(tokens, kind="stable")
                yield tokens[order], new_rows[order], weights[order]

        uniques = [np.unique(found, return_counts=True) for found, _, _ in merged()]
        tokens = np.concatenate([np.empty(0, np.int32), *(each for each, _ in uniques)])
        counts = np.concatenate([np.empty(0, np.int64), *(each for _, each in uniques)])
        total = (int(counts.sum()),)

        def write(array: str, values: NDArray[Any]) -> None:
            write_array(self.directory / segment.file(array), [values])

        write(
            "ids", np.concatenate([part.ids[keep] for part, keep in zip(parts, kept, strict=True)])
        )
        write("tokens", tokens)
        write("starts", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
        for array, which in (("rows", 1), ("weights", 2)):
            values = (found[which] for found in merged())
            write_parts(self.directory / segment.file(array), values, total, _DTYPES[array])

    def _segment(self, segment: Segment) -> Postings:
        found: dict[str, Any] = {}
        for name, dtype in _DTYPES.items():
            array = load_array(self.directory / segment.file(name))
            if array.dtype != dtype or array.ndim != 1:
                raise self._damaged(segment, name, f"{array.dtype} of shape {array.shape}")
            # All but the postings is small, and read by every search.
            found[name] = array if name in ("rows", "weights") else np.array(array)
        postings = Postings(**found)
        for name, length in (
            ("ids", segment.count),
            ("starts", len(postings.tokens) + 1),
            ("rows", int(postings.starts[-1]) if len(postings.starts) else -1),
            ("weights", len(postings.rows)),
        ):
            if len(found[name]) != length:
                raise self._damaged(segment, name, f"{len(found[name])} numbers, not {length}")
        return postings

    def problems(self, published: Published, dimension: int) -> list[str]:
        """Problems of the postings themselves; reads all of them."""
        found = []
        for segment, postings in zip(published.segments, self.segments(published), strict=True):
            starts, tokens, rows = postings.starts, postings.tokens, postings.rows
            weights = postings.weights
            for name, sound in (
                ("tokens", _within(tokens, dimension) and bool((np.diff(tokens) > 0).all())),
                ("starts", starts[0] == 0 and bool((np.diff(starts) > 0).all())),
                ("rows", _within(rows, segment.count)),
                ("weights", bool((np.isfinite(weights) & (weights != 0)).all())),
            ):
                if not sound:
                    found.append(str(self._damaged(segment, name, "it has invalid numbers")))
        return found

    def _damaged(self, segment: Segment, array: str, reason: str) -> Exception:
        return damaged(self.directory / segment.file(array), reason)


def _blocks(parts: Sequence[Postings]) -> Iterator[tuple[int, int]]:
    """Ranges of tokens that have about MERGED_AT_ONCE postings each."""
    every = np.concatenate([part.tokens for part in parts])
    tokens, places = np.unique(every, return_inverse=True)
    counts = np.concatenate([np.diff(part.starts) for part in parts])
    block = np.cumsum(np.bincount(places, counts)) // MERGED_AT_ONCE
    for some in np.split(tokens, np.flatnonzero(np.diff(block)) + 1):
        if len(some):
            yield int(some[0]), int(some[-1]) + 1


def _within(numbers: NDArray[Any], limit: int) -> bool:
    return not len(numbers) or (int(numbers.min()) >= 0 and int(numbers.max()) < limit)

"""Vectors on disk: immutable segments, a list of removed ids, and the published state.

A segment is two ``.npy`` files: passage ids (int64, shape (n,)) and vectors (float32, float16, or
codes in uint8, shape (n, d)). Rows are in the order of ``state.json``'s segments; a merge keeps
that order, so a graph that covers the first rows stays valid. Only ``compact`` drops rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.array_files import load_array, publish_arrays, sorted_ids, write_array
from rerank_search.retrieval.state import StateFile, damaged
from rerank_search.retrieval.vector_codes import Rows, numpy_dtype
from rerank_search.types import VectorDtype


@dataclass(frozen=True)
class Segment:
    """Two files with ``count`` rows; ``number`` is part of their names."""

    number: int
    count: int

    @property
    def ids(self) -> str:
        """The name of the file of passage ids."""
        return f"ids-{self.number}.npy"

    @property
    def vectors(self) -> str:
        """The name of the file of vectors."""
        return f"vectors-{self.number}.npy"


@dataclass(frozen=True)
class Published:
    """The content of ``state.json``. ``graph`` covers the first ``graph_rows`` rows.

    ``prompts`` are those that the encoder puts before texts; None means vectors of an earlier
    version, which encoded queries and documents alike.
    Within one ``generation`` rows are only added at the end.
    """

    seq: int
    dtype: VectorDtype
    dimension: int | None = None
    generation: int = 0
    segments: tuple[Segment, ...] = ()
    removed: str | None = None
    graph: str | None = None
    graph_rows: int = 0
    next_number: int = 1
    prompts: Prompts | None = None

    @property
    def rows(self) -> int:
        """The number of rows in all segments, removed ones included."""
        return sum(segment.count for segment in self.segments)

    @property
    def files(self) -> set[str]:
        """The names of all files in use."""
        names = {name for s in self.segments for name in (s.ids, s.vectors)}
        return names | {name for name in (self.removed, self.graph) if name}


class VectorFiles:
    """The directory of a vector index. Raises IndexCorruptedError naming a damaged file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = StateFile(directory)

    def read(self) -> Published:
        """The published state."""
        state = self.state.read()
        try:
            segments = tuple(Segment(**segment) for segment in state.pop("segments"))
            saved = state.pop("prompts", None)
            prompts = None if saved is None else Prompts.model_validate(saved)
            return Published(segments=segments, prompts=prompts, **state)
        except (KeyError, TypeError, ValidationError) as error:
            raise damaged(self.state.path, error) from error

    def publish(self, published: Published) -> None:
        """Publish this state for readers, and delete every other file of vectors."""
        prompts = None if published.prompts is None else published.prompts.model_dump()
        content = asdict(published) | {"prompts": prompts}
        publish_arrays(self.state, content, published.files)

    def write_segment(
        self,
        published: Published,
        ids: Sequence[NDArray[np.int64]],
        vectors: Sequence[Rows],
    ) -> Published:
        """``published`` with the rows added at the end, written but not yet published.

        They are merged with the last segments until each segment is less than half the one before
        it. So there are at most log2(rows) segments, and a row is written about that often at most.
        """
        kept = list(published.segments)
        count = sum(len(part) for part in ids)
        merged: list[Segment] = []
        while kept and kept[-1].count <= 2 * count:
            merged.insert(0, kept.pop())
            count += merged[0].count
        segment = Segment(published.next_number, count)
        write_array(self.directory / segment.ids, [*(self._load(old.ids) for old in merged), *ids])
        write_array(
            self.directory / segment.vectors,
            [*(self._load(old.vectors) for old in merged), *vectors],
        )
        return replace(
            published,
            dimension=vectors[0].shape[1],
            segments=(*kept, segment),
            next_number=segment.number + 1,
        )

    def write_removed(self, published: Published, removed: NDArray[np.int64]) -> Published:
        """``published`` with ``removed`` (sorted ids) as the list of removed passages."""
        if not len(removed):
            return replace(published, removed=None)
        name = f"removed-{published.next_number}.npy"
        write_array(self.directory / name, [removed])
        return replace(published, removed=name, next_number=published.next_number + 1)

    def segments(self, published: Published) -> list[tuple[NDArray[np.int64], Rows]]:
        """Ids and memory-mapped vectors of each segment."""
        return [self._segment(published, segment) for segment in published.segments]

    def removed(self, published: Published) -> NDArray[np.int64]:
        """Sorted ids of removed passages."""
        return sorted_ids(self.directory, published.removed)

    def _segment(self, published: Published, segment: Segment) -> tuple[NDArray[np.int64], Rows]:
        ids, vectors = self._load(segment.ids), self._load(segment.vectors)
        for name, array, shape, dtype in (
            (segment.ids, ids, (segment.count,), np.dtype(np.int64)),
            (
                segment.vectors,
                vectors,
                (segment.count, published.dimension),
                numpy_dtype(published.dtype),
            ),
        ):
            if array.shape != shape or array.dtype != dtype:
                raise damaged(
                    self.directory / name,
                    f"{array.dtype} of shape {array.shape}, not {dtype} of shape {shape}",
                )
        return np.array(ids), vectors

    def _load(self, name: str) -> NDArray[Any]:
        return load_array(self.directory / name)

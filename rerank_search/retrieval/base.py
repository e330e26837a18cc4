"""The contracts of the first stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.prompts import Prompts, Task
from rerank_search.retrieval.sparse_vectors import SparseVectors
from rerank_search.storage.changes import block_of
from rerank_search.storage.manifest import Manifest
from rerank_search.types import Filter, Hit, Span


class Retriever(Protocol):
    """Anything that finds candidates for queries."""

    name: str

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order.

        Fewer than k only if fewer documents match. Raises InvalidInputError for k < 1.
        """
        ...


class Stages(Protocol):
    """Anything that has first stages by name, such as an index; others can combine them."""

    def retriever(self, name: str) -> Retriever:
        """The first stage of that name. Raises InvalidInputError if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document that fits the encoder's window: the unit that engines index.

    ``id`` is an int64 that is never used again, not even for a new version of the document.
    ``text`` is the document's title, a newline and the passage's own characters (no title: the
    characters alone). ``title`` and ``body`` are these two parts, for engines that weigh them
    differently. A title that is too long is cut off; one passage of the document then has all of
    the title and no body. ``vector`` is the document's own, float32, in an index of the user's
    vectors, whose documents are passages as a whole. ``seq`` is the change that added it.
    """

    id: int
    text: str
    title: str = ""
    vector: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    seq: int = field(default=0, repr=False, compare=False)

    @property
    def body(self) -> str:
        """The passage's own characters, without the title."""
        return self.text[len(self.title) + 1 :] if self.title else self.text


def in_batches(passages: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    """The passages in lists of ``size``; the last one may be shorter."""
    rest = iter(passages)
    while batch := list(islice(rest, size)):
        yield batch


def in_blocks(passages: Iterable[Passage], most: int) -> Iterator[list[Passage]]:
    """The passages of each block of changes in a list, or in several of at most ``most``.

    An update of a long ``add`` brings whole blocks, so what is computed of such a list does not
    depend on which updates there were.
    """
    for _, own in groupby(passages, key=lambda passage: block_of(passage.seq)):
        yield from in_batches(own, most)


@dataclass(frozen=True, slots=True)
class PassageScores:
    """The best passages of one query; the order of equal scores is not defined.

    ``ids`` is int64, ``scores`` float32, both of shape (n,).
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class TextVectors(Protocol):
    """The part of an encoder that makes vectors: all that a first stage needs of it."""

    name: str

    @property
    def prompts(self) -> Prompts:
        """The prompts put before queries and before documents."""
        ...

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Vectors of length 1, shape (n, d), float32, of the texts with the prompt before each."""
        ...


class TextEncoder(TextVectors, Protocol):
    """All that the package needs of an encoder; ``retrieval.encoders`` makes one from its name.

    The attributes are the arguments of ``Encoder``, None where they are not given.
    Making one loads nothing and needs no network: the first use does. Threads may share one.
    """

    revision: str | None
    query_prompt: str | None
    document_prompt: str | None
    truncate_dim: int | None

    @property
    def pooling(self) -> str | None:
        """How the vectors of tokens become one vector, such as "mean"; None if that is unknown."""
        ...

    may_change: bool
    """Whether another model may come to answer by the same name, as behind a URL."""

    @property
    def unused_prompts(self) -> list[str]:
        """Names of the model's prompts if none is for queries or documents, and none was given."""
        ...

    @property
    def tells_tasks_apart(self) -> bool:
        """Whether the vector of a text depends on its task."""
        ...

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        ...

    @property
    def window(self) -> int | None:
        """Tokens that the model reads of a document, special tokens included; None means all."""
        ...

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end in characters of each token of the whole text, without special tokens."""
        ...

    def check_found(self) -> None:
        """Raise ModelNotFoundError for a missing model. Does not load it."""
        ...

    def identity(self) -> list[str]:
        """All that decides the vectors, to name files made from them. Does not load the model."""
        ...


class TextReader(Protocol):
    """The part of an encoder that decides the length of passages."""

    name: str

    @property
    def prompts(self) -> Prompts:
        """The prompts put before queries and before documents."""
        ...

    @property
    def window(self) -> int | None:
        """Tokens that the model reads of a document, special tokens included; None means all."""
        ...

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end in characters of each token of the whole text, without special tokens."""
        ...


class SparseTextVectors(Protocol):
    """The part of a sparse encoder that makes vectors: all that a first stage needs of it."""

    name: str

    @property
    def dimension(self) -> int:
        """The length of a vector: the size of the vocabulary."""
        ...

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> SparseVectors:
        """The sparse vectors of the texts with the prompt before each."""
        ...


class Engine(Protocol):
    """A structure that an index derives from its passages, such as postings or vectors.

    It has a folder of its own and records the last change that it has applied. An update is
    published as a whole (see ``StateFile``): after a crash the engine is in the state of its last
    ``update``, and applying the same changes again is harmless. Many threads may search while one
    updates. Derive your own class from this one to inherit the methods that are implemented here.
    """

    name: str

    incremental: bool = True
    """Whether the cost of an update depends on the size of the change, not of the index."""

    @property
    def foresees(self) -> bool:
        """Whether the engine gains by being told all passages before it is updated."""
        return False

    @property
    def seq(self) -> int:
        """The number of the last change that is applied and published."""
        ...

    def update(
        self,
        seq: int,
        added: Iterable[Passage],
        removed: Iterable[int],
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Apply all changes up to ``seq`` and publish them durably.

        Passages may have been added before. One update may add and remove the same passage.
        ``progress`` may be called with numbers of finished passages, which add up to all.
        """
        ...

    def foresee(self, added: Iterable[Passage]) -> None:
        """Prepare for updates that will add these passages, if ``foresees``."""
        return

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed`` (sorted ids; None: all).

        All passages with the same score as the last one are returned.
        """
        ...

    def refresh(self) -> bool:
        """Load what another process has published since; return whether there was anything."""
        ...

    def scores(
        self, queries: Sequence[str], passages: Sequence[NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]:
        """The scores of each query's passages; 0 for a passage that ``search`` does not find."""
        found = []
        for query, ids in zip(queries, passages, strict=True):
            allowed = np.unique(ids)
            [best] = self.search([query], len(allowed), allowed=allowed)
            known = dict(zip(best.ids.tolist(), best.scores.tolist(), strict=True))
            found.append(np.array([known.get(id, 0.0) for id in ids.tolist()], np.float32))
        return found

    def matches(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Where in each text the words stand by which the engine finds it; nowhere by default."""
        return [[] for _ in texts]

    def compact(self) -> bool:
        """Drop the remains of removed passages; False if that needs a rebuild."""
        return False

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        return []

    def close(self) -> None:
        """Release open files and connections."""
        return


@dataclass(frozen=True, slots=True)
class EngineSource:
    """The arguments with which an index opens an engine.

    ``folder`` is the engine's own; without a ``state.json`` in it the engine is new.
    ``passages()`` gives all passages that are stored now. ``replaces`` is the engine whose
    settings the new one keeps; None takes today's settings.
    """

    folder: Path
    manifest: Manifest
    passages: Callable[[], Iterator[Passage]]
    encoder: TextVectors | None = None
    read_only: bool = False
    replaces: Engine | None = None
    sparse_encoder: SparseTextVectors | None = None


class Catalogue(Protocol):
    """The facts about stored documents that a first stage needs."""

    @property
    def splits(self) -> bool:
        """Whether any document has more than one passage."""
        ...

    def allowed(self, filter: Filter) -> NDArray[np.int64]:
        """Sorted ids of the passages whose document the filter allows."""
        ...

    def locate(self, passages: NDArray[np.int64]) -> list[tuple[str, Span | None] | None]:
        """Document id and span (None: all of it) of each passage; None if it was deleted."""
        ...

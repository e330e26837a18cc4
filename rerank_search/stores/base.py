"""The contract of a store's engine: the few things that it does, on which ``Store`` builds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rerank_search.storage.filter_tree import FilterTree
from rerank_search.storage.manifest import EncoderRecord
from rerank_search.storage.records import Record
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document, HybridName

Scored: TypeAlias = tuple[str, float]
"""The id and the score of a document that was found."""

Distance: TypeAlias = Literal["cosine", "dot"]
"""What the engine compares vectors by; vectors have length 1, so both give the same scores."""


class StoreOptions(BaseModel):
    """The options that every store has: in its URL, or as arguments of ``open_store``.

    A store's engine derives its own class from this one and adds fields. An unknown option is an
    error.

    ``encoder`` names the encoder, ``hybrid`` is the way in which the first stage of that name
    combines the others. ``timeout`` is how many seconds one attempt at a call may take, and until
    when after the first one another may begin. ``retries`` is how many further attempts there are
    if the connection is lost.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str | None = None
    hybrid: HybridName = "scores"
    timeout: float = Field(default=30.0, gt=0, le=86_400, allow_inf_nan=False)
    retries: int = Field(default=2, ge=0, le=100)


@dataclass(frozen=True, slots=True)
class NewStore:
    """What a store is made for: vectors of this length (None: no vectors), by this encoder.

    ``encoder`` is None for vectors of the user's own.
    """

    dimension: int | None
    encoder: EncoderRecord | None


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """What is in a store: its first stages, and its vectors.

    ``stages`` are the engine's own: "bm25" or, for other ranking functions, "text"; and "dense".
    ``dimension`` is None without vectors, ``encoder`` if none is recorded. ``distance`` is as the
    engine names it if it is not a ``Distance``.
    """

    stages: tuple[str, ...]
    dimension: int | None = None
    distance: str | None = None
    encoder: EncoderRecord | None = None


class StoreBackend(Protocol):
    """A store's engine. Derive your own class from this one. Threads share one.

    It is made with a ``StoreUrl`` and the ``Options``; it connects on first use. Every method
    raises an error of the ``StoreError`` family if the engine fails, StoreUnreachableError if the
    same call may work a second time. Every method may be called a second time after it failed, so
    that it must do no harm to repeat a write that was made.
    """

    Options: ClassVar[type[StoreOptions]] = StoreOptions

    breaks_ties: bool = False
    """Whether documents with equal scores come by their ids, ascending by code point."""

    def __init__(self, url: StoreUrl, options: Any) -> None: ...

    def describe(self) -> StoreDescription | None:
        """What is there; None if there is no such table or collection.

        Raises StoreMismatchError for one that cannot be used.
        """
        ...

    def create(self, new: NewStore) -> None:
        """Make what is missing: the table or collection, and the record of its encoder.

        What another process has made meanwhile stays as it is, its record included.
        """
        ...

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best k documents by their words, the best first; fewer only if fewer match.

        ``query`` is plain words, whatever characters it has. With ``filter`` and ``ids`` only those
        documents are searched.
        """
        ...

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        """The best k documents by the cosine with a vector of length 1, as ``search_text``."""
        ...

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids, in any order; without those that are missing."""
        ...

    def upsert(self, records: Sequence[Record]) -> None:
        """Write the documents, whose ids differ, all or none; replace those with the same ids.

        When it returns, they are durable, and every later call finds them. Raises
        InvalidDocumentError for one that the engine cannot store as it is.
        """
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids; return how many there were."""
        ...

    def count(self) -> int:
        """The number of documents."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...

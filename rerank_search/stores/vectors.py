"""The vectors of queries and documents of a store, and whether its encoder is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, StoreMismatchError
from rerank_search.index.encoder_record import mismatch
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.models.prompts import Task
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.retrieval.given_vectors import GivenVectors
from rerank_search.shown import shown
from rerank_search.storage.manifest import EncoderRecord
from rerank_search.vectors import EncodedQuery


class StoreVectors:
    """Makes the vectors of a store with its encoder, or takes the user's own.

    All have ``dimension`` numbers and length 1. ``encoder`` is None for vectors of the user's own.
    ``record`` is what the store has recorded about its encoder, None if nothing is recorded.
    ``store`` is its name in errors.
    """

    def __init__(
        self,
        store: str,
        dimension: int,
        encoder: TextEncoder | None,
        record: EncoderRecord | None,
    ) -> None:
        self.dimension = dimension
        self._store = store
        self._prompts = record.prompts if record is not None else None
        self._encoder = None if encoder is None else QueryVectors(encoder, self._check_again)
        self._record = record
        self._model = encoder

    def finds(self, query: str) -> bool:
        """Whether a query can find anything: it has a vector, or words to encode."""
        if isinstance(query, EncodedQuery):
            return True
        return any(map(str.isalnum, query)) if self._encoder is not None else bool(query.strip())

    def of_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries, shape (queries, dimension).

        Raises InvalidInputError for a query without a vector that needs one, and the other way
        round; StoreMismatchError for vectors of another length.
        """
        if self._encoder is not None:
            if any(isinstance(query, EncodedQuery) for query in queries):
                raise InvalidInputError(
                    f"{self._store} makes the vectors of queries with its encoder, so a query "
                    "cannot bring its own: leave query_vector out"
                )
            return self._encoded(self._encoder, queries, "query")
        for query in queries:
            if not isinstance(query, EncodedQuery):
                raise InvalidInputError(
                    f"the query {shown(query)} has no vector, and it is not recorded which encoder "
                    f"made the vectors of {self._store}: name it (encoder='...'), give "
                    "query_vector, or search by words alone, with first_stage and, if there is a "
                    "reranker, with fusion=None"
                )
        return GivenVectors(self.dimension).of_queries(queries)

    def of_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts by the encoder, shape (texts, dimension)."""
        if self._encoder is None:
            raise InvalidInputError(
                f"it is not recorded which encoder makes the vectors of {self._store}: name it "
                "(encoder='...'), or give vectors with the documents"
            )
        return self._encoded(self._encoder, texts, "document")

    def _encoded(
        self, encoder: QueryVectors, texts: Sequence[str], task: Task
    ) -> NDArray[np.float32]:
        if self._prompts is None:
            self._prompts = encoder.prompts
        vectors = encoder.encode(texts, task=task, prompt=self._prompts.of(task))
        check_dimension(self._store, encoder.name, vectors.shape[1], self.dimension)
        return vectors

    def _check_again(self) -> None:
        model, record = self._model, self._record
        if model is not None and record is not None and model.may_change:
            check_same(self._store, model, record)


def store_encoder(
    store: str,
    given: TextEncoder | str | PathLike[str] | None,
    record: EncoderRecord | None,
    dimension: int | None,
) -> TextEncoder | None:
    """The encoder to search a store with: the given one, or the recorded one.

    Raises StoreMismatchError for another model than is recorded, or one with another dimension.
    """
    if given is None:
        return None if record is None else encoder_of(record.name, **record.arguments)
    if dimension is None:
        raise StoreMismatchError(
            f"{store} has no vectors, so it has no use for the encoder "
            f"{encoder_of(given).name!r}: leave it out, or name the column that has them"
        )
    if record is None:
        encoder = encoder_of(given)
        check_dimension(store, encoder.name, encoder.dimension, dimension)
        return encoder
    if isinstance(given, (str, PathLike)):  # the same model in another place
        encoder = encoder_of(given, **record.arguments | {"revision": None})
    else:
        encoder = encoder_of(given)
    if (encoder.name, encoder.truncate_dim) != (record.name, record.truncate_dim):
        check_same(store, encoder, record)
    return encoder


def check_same(store: str, encoder: TextEncoder, record: EncoderRecord) -> None:
    """Raise StoreMismatchError for another model than the one that made a store's vectors."""
    if difference := mismatch(encoder, record):
        raise StoreMismatchError(
            f"the vectors of {store} were made with the encoder {record.name!r}, not with "
            f"{encoder.name!r} ({difference}): open it without naming an encoder, or fill another "
            "table or collection with that one"
        )


def check_dimension(store: str, encoder: str, made: int, stored: int) -> None:
    """Raise StoreMismatchError for an encoder whose vectors have another length."""
    if made != stored:
        raise StoreMismatchError(
            f"the encoder {encoder!r} makes vectors of {made} numbers, and those of {store} have "
            f"{stored}: name the encoder that made them"
        )

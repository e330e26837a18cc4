"""A store: documents that an engine elsewhere keeps and finds, as a Searchable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType

import numpy as np

from rerank_search.arguments import check_function, id_list, whole_number
from rerank_search.built_in_stages import DENSE, HYBRID
from rerank_search.errors import InvalidInputError, StoreError, StoreMismatchError
from rerank_search.retrieval.base import Retriever, TextEncoder
from rerank_search.retrieval.given_vectors import with_length_1
from rerank_search.retrieval.hybrid import Hybrid
from rerank_search.retrieval.hybrid_fusion import hybrid_name
from rerank_search.shown import described, shown
from rerank_search.storage.filter_tree import FilterTree
from rerank_search.storage.records import Record, batches, storable_ids
from rerank_search.stores.attempts import Attempts
from rerank_search.stores.base import Scored, StoreBackend, StoreDescription
from rerank_search.stores.stage import SearchOne, StoreStage
from rerank_search.stores.vectors import StoreVectors
from rerank_search.types import Document, Filter, Hit, HybridName
from rerank_search.vectors import with_vectors

logger = logging.getLogger(__name__)


class Store:
    """Documents in an engine elsewhere, such as a table of PostgreSQL. ``open_store`` opens one.

    It is searched as an Index is. A document is found as a whole: an encoder reads its beginning,
    as far as its window goes. Threads may share one. A call is repeated if the connection is lost,
    and every attempt ends within the ``timeout`` of the store.
    """

    def __init__(
        self,
        name: str,
        backend: StoreBackend,
        description: StoreDescription,
        *,
        encoder: TextEncoder | None,
        hybrid: HybridName,
        attempts: Attempts,
    ) -> None:
        self.name = name
        self._backend = backend
        self._attempts = attempts
        self._hybrid = hybrid_name(hybrid)
        self._encoder = encoder
        self._description = description
        self._vectors: StoreVectors | None = None
        if description.dimension is not None:
            self._vectors = StoreVectors(name, description.dimension, encoder, description.encoder)
        self._stages = {
            stage: StoreStage(
                stage,
                self._by_vector if stage == DENSE else self._by_words,
                breaks_ties=backend.breaks_ties,
            )
            for stage in description.stages
        }

    def __repr__(self) -> str:
        return described("Store", url=self.name)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the store."""
        self._backend.close()

    def afresh(self) -> Store:
        """The same store without memory of earlier queries; both share the connections."""
        return Store(
            self.name,
            self._backend,
            self._description,
            encoder=self._encoder,
            hybrid=self._hybrid,
            attempts=self._attempts,
        )

    def __len__(self) -> int:
        return self._attempts.of(self._backend.count)

    @property
    def encoder(self) -> TextEncoder | None:
        """The encoder that makes the vectors; None if there are none, or they are your own."""
        return self._encoder

    @property
    def dimension(self) -> int | None:
        """The length of your own vectors; None for a store that makes vectors, or has none."""
        if self._vectors is None or self._encoder is not None:
            return None
        return self._vectors.dimension

    @property
    def takes_query_vectors(self) -> bool:
        """Whether queries bring their vectors with them (``EncodedQuery``)."""
        return self.dimension is not None

    @property
    def first_stages(self) -> tuple[str, ...]:
        """The names that ``retriever`` accepts, the best last."""
        return (*self._stages, *([HYBRID] if len(self._stages) > 1 else []))

    def retriever(self, name: str) -> Retriever:
        """The first stage of that name. Raises InvalidInputError for an unknown name."""
        if name in self._stages:
            return self._stages[name]
        if name == HYBRID and name in self.first_stages:
            return Hybrid(list(self._stages.values()), fusion=self._hybrid)
        raise InvalidInputError(
            f"{self.name} has no first stage {shown(name)}: use one of "
            f"{', '.join(self.first_stages)}"
        )

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents with these ids, in their order; None for an unknown id."""
        wanted = id_list(ids)
        possible = storable_ids(dict.fromkeys(wanted))
        if not possible:
            return [None for _ in wanted]
        found = self._attempts.of(partial(self._backend.fetch, possible))
        by_id = {document.id: document for document in found}
        return [by_id.get(id) for id in wanted]

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        """The rankings, each hit completed with the document's score in every first stage.

        It is 0.0 in a stage that does not find the document. Existing scores are kept. A first
        stage that fails adds no score, and the log says why.
        """
        scored = [[dict(hit.stage_scores) for hit in hits] for hits in rankings]
        for name, stage in self._stages.items():
            missing = [
                [hit.id for hit, known in zip(hits, scores, strict=True) if name not in known]
                for hits, scores in zip(rankings, scored, strict=True)
            ]
            if not any(missing):
                continue
            try:
                found = stage.scores(queries, missing)
            except StoreError as error:
                logger.warning("hits have no score of the first stage %s: %s", name, error)
                continue
            for hits, scores, known in zip(rankings, scored, found, strict=True):
                for hit, own in zip(hits, scores, strict=True):
                    own.setdefault(name, known.get(hit.id, 0.0))
        return [
            [replace(hit, stage_scores=own) for hit, own in zip(hits, scores, strict=True)]
            for hits, scores in zip(rankings, scored, strict=True)
        ]

    def filter_warnings(self, filter: Filter) -> Sequence[str]:
        """No warnings, because a store is not asked which metadata there is."""
        return ()

    def add(
        self,
        documents: Iterable[Document],
        *,
        vectors: Iterable[Sequence[float]] | None = None,
        batch_size: int = 1000,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Insert documents, or replace those with the same id; return how many were given.

        ``documents`` may be a generator of more documents than fit in memory. Each batch is checked
        as a whole, then written as a whole, and is durable and can be found when the next one
        begins. The last of equal ids wins. ``vectors`` are those of the documents, one each, in a
        store of your own vectors. ``progress`` is called with numbers of written documents.

        Raises InvalidDocumentError (nothing of that batch is written, earlier batches are),
        InvalidInputError, StoreError.
        """
        batch_size = whole_number("batch_size", batch_size)
        if progress is not None:
            check_function("progress", progress)
        if vectors is not None:
            documents = with_vectors(documents, vectors)
        written = 0
        for batch in batches(documents, batch_size, dimension=self.dimension):
            latest = {record.id: record for record in batch}
            records = self._with_vectors(list(latest.values()))
            self._attempts.of(partial(self._backend.upsert, records))
            written += len(batch)
            if progress is not None:
                progress(len(batch))
        return written

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents, skip unknown ids, and return how many were deleted.

        If the connection is lost after they were deleted, they count as unknown. Raises
        InvalidInputError for anything but a list of ids, StoreError.
        """
        named = storable_ids(dict.fromkeys(id_list(ids)))
        return self._attempts.of(partial(self._backend.delete, named)) if named else 0

    def _with_vectors(self, records: list[Record]) -> list[Record]:
        """The records with the vectors that the engine stores."""
        if self._vectors is None or (self._encoder is None and self._description.distance != "dot"):
            return records  # the user's own stay as they are
        if self._encoder is None:
            made = with_length_1(
                np.stack([np.frombuffer(record.vector or b"", "<f4") for record in records])
            )
        else:
            made = self._vectors.of_documents([_text(record) for record in records])
        return [
            replace(record, vector=vector.astype("<f4").tobytes())
            for record, vector in zip(records, made, strict=True)
        ]

    def _by_words(self, queries: Sequence[str]) -> list[SearchOne | None]:
        return [
            partial(self._find, partial(self._backend.search_text, str(query)))
            if any(map(str.isalnum, query))
            else None
            for query in queries
        ]

    def _by_vector(self, queries: Sequence[str]) -> list[SearchOne | None]:
        vectors = self._vectors
        if vectors is None:
            return [None for _ in queries]
        places = [place for place, query in enumerate(queries) if vectors.finds(query)]
        searches: list[SearchOne | None] = [None for _ in queries]
        if places:
            rows = vectors.of_queries([queries[place] for place in places])
            for place, row in zip(places, rows, strict=True):
                searches[place] = partial(self._find, partial(self._backend.search_vector, row))
        return searches

    def _find(
        self,
        search: SearchOne,
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        found = self._attempts.of(partial(search, k, filter, ids))
        known: set[str] = set()
        for id, _ in found:
            if id in known:
                raise StoreMismatchError(
                    f"{self.name} has several documents with the id {shown(id)}: give each an id "
                    "of its own, or name another column of ids"
                )
            known.add(id)
        return found


def _text(record: Record) -> str:
    """The text of a document that the encoder reads, as an index has it."""
    return f"{record.title}\n{record.text}" if record.title else record.text

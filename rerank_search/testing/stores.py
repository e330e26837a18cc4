"""The checks of stores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from rerank_search.built_in_stages import BM25, DENSE, HYBRID
from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.index import Index
from rerank_search.retrieval.base import Retriever
from rerank_search.searchable import Searchable
from rerank_search.stores.store import Store
from rerank_search.testing.rules import require
from rerank_search.testing.sample import FILTERS, IMPOSSIBLE_IDS, QUERIES, sample_documents
from rerank_search.testing.searching import check_searchable
from rerank_search.types import Document, Filter, Hit
from rerank_search.vectors import EncodedQuery, encoded

THREADS = 4


def check_store(store: Store, *, exact: bool = True, tolerance: float = 1e-5) -> None:
    """Check an empty store: writing, deleting, exact filters, the total order, many threads.

    Its documents are deleted at the end. ``exact`` says that the vectors are compared with all
    others; then dense scores have to be the cosines up to ``tolerance``. A filter that the store's
    engine cannot express has to be refused with InvalidInputError. The store may make its vectors
    with an encoder, or take those that it is given.
    """
    documents = sample_documents()
    _check_empty(store)
    require(store.add([]) == 0, "add([]) must write nothing")
    require(_add(store, documents) == len(documents), "add() must return the number of documents")
    _check_documents(store, documents)
    even = {document.id for document in documents if document.metadata.get("even")}
    searched = _Encoded(store) if store.takes_query_vectors else store
    check_searchable(
        searched,
        QUERIES,
        documents=len(documents),
        filter={"even": True},
        allows=lambda id: id in even,
    )
    _check_stage_scores(searched, len(documents))
    if exact and DENSE in store.first_stages:
        _check_cosines(store, documents, tolerance)
    _check_filters(store, documents)
    _check_threads(store, documents)
    _check_replacing(store, documents)
    _check_refused(store, len(documents))
    _check_deleting(store, documents)
    _check_empty(store)


class _Encoded:
    """A store of the user's own vectors, whose queries get one where they have none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.first_stages = store.first_stages
        self.documents, self.filter_warnings = store.documents, store.filter_warnings

    def retriever(self, name: str) -> Retriever:
        return _EncodedRetriever(self._store, self._store.retriever(name))

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        return self._store.stage_scores([_query(self._store, each) for each in queries], rankings)


class _EncodedRetriever:
    def __init__(self, store: Store, retriever: Retriever) -> None:
        self.name = retriever.name
        self._store, self._retriever = store, retriever

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        encoded = [_query(self._store, each) for each in queries]
        return self._retriever.retrieve(encoded, k, filter=filter)


def _vector(store: Store, text: str) -> NDArray[np.float32]:
    """A vector for a store of the user's own vectors, the same for the same text."""
    seed = int.from_bytes(text.encode()[:64], "big")
    made = np.random.default_rng(seed).normal(size=store.dimension or 0)
    return np.asarray(made, np.float32)


def _query(store: Store, text: str) -> str:
    if not store.takes_query_vectors:
        return text
    return EncodedQuery(text, _vector(store, text).tolist())


def _add(store: Store, documents: Sequence[Document]) -> int:
    if store.takes_query_vectors:
        documents = [encoded(each, _vector(store, each.text).tolist()) for each in documents]
    return store.add(documents)


def _found(store: Store, stage: str, k: int, filter: Filter | None = None) -> list[str]:
    [hits] = store.retriever(stage).retrieve([_query(store, "boat")], k, filter=filter)
    return [hit.id for hit in hits]


def _check_empty(store: Store) -> None:
    require(len(store) == 0, f"the store must be empty, and has {len(store)} documents")
    unknown = ["a", *IMPOSSIBLE_IDS]
    found = store.documents(unknown)
    require(found == [None] * len(unknown), "documents() must return None for an unknown id")
    require(store.delete(unknown) == 0, "delete() must skip unknown ids")
    require(store.delete([]) == 0, "delete([]) must delete nothing")
    for stage in store.first_stages:
        require(_found(store, stage, 5) == [], f"{stage} must find nothing in an empty store")


def _check_documents(store: Store, documents: Sequence[Document]) -> None:
    require(
        len(store) == len(documents),
        f"there must be {len(documents)} documents after add(), not {len(store)}",
    )
    found = store.documents([document.id for document in documents])
    for document, there in zip(documents, found, strict=True):
        require(there == document, f"a document must stay as it is: {document!r}, not {there!r}")


def _check_stage_scores(store: Searchable, count: int) -> None:
    """Scores of hits that another stage found must be those that the stage itself gives."""
    own = [stage for stage in store.first_stages if stage != HYBRID]
    rankings = {stage: store.retriever(stage).retrieve(QUERIES, count) for stage in own}
    for stage in own:
        for other in own:
            completed = store.stage_scores(QUERIES, rankings[other])
            for hits, known in zip(completed, rankings[stage], strict=True):
                scores = {hit.id: hit.score for hit in known}
                for hit in hits:
                    require(
                        abs(hit.stage_scores[stage] - scores.get(hit.id, 0.0)) < 1e-4,
                        f"stage_scores() must give {hit.id!r} the score of {stage}",
                    )


def _check_cosines(store: Store, documents: Sequence[Document], tolerance: float) -> None:
    query = _query(store, "boat")
    if store.encoder is None:
        [asked] = [_vector(store, "boat")]
        rows = np.stack([_vector(store, document.text) for document in documents])
    else:
        prompts = store.encoder.prompts
        texts = [f"{each.title}\n{each.text}" if each.title else each.text for each in documents]
        [asked] = store.encoder.encode(["boat"], task="query", prompt=prompts.query)
        rows = store.encoder.encode(texts, task="document", prompt=prompts.document)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(asked)
    cosines = dict(
        zip([each.id for each in documents], (rows @ asked / lengths).tolist(), strict=True)
    )
    [hits] = store.retriever(DENSE).retrieve([query], len(documents))
    require(len(hits) == len(documents), "dense must find every document")
    for hit in hits:
        require(
            abs(hit.score - cosines[hit.id]) <= tolerance,
            f"the dense score of {hit.id!r} must be the cosine {cosines[hit.id]}, not {hit.score}",
        )


def _check_filters(store: Store, documents: Sequence[Document]) -> None:
    with TemporaryDirectory() as folder, Index.create(Path(folder) / "i", encoder=None) as index:
        index.add(documents)
        for filter in FILTERS:
            expected = index.retriever(BM25).retrieve(["boat"], len(documents), filter=filter)[0]
            _check_filter(store, filter, {hit.id for hit in expected}, len(documents))


def _check_filter(store: Store, filter: Filter, expected: set[str], count: int) -> None:
    for stage in store.first_stages:
        try:
            found = set(_found(store, stage, count, filter))
        except InvalidInputError:
            continue  # refused, because the engine cannot express it
        require(
            found == expected,
            f"{stage} must find what the filter {filter!r} allows: {sorted(found - expected)} too "
            f"many, {sorted(expected - found)} missing",
        )


def _check_threads(store: Store, documents: Sequence[Document]) -> None:
    stage = store.first_stages[-1]
    expected = _found(store, stage, len(documents))

    def work(place: int) -> list[str]:
        if place % 2:
            _add(store, documents[place : place + 3])  # which are there already
        return _found(store, stage, len(documents))

    with ThreadPoolExecutor(THREADS) as pool:
        for found in pool.map(work, range(4 * THREADS)):
            require(found == expected, "threads that share a store must find the same")
    require(len(store) == len(documents), "writing a document twice must not add another one")


def _check_replacing(store: Store, documents: Sequence[Document]) -> None:
    old = documents[0]
    new = Document(old.id, "a boat with a submarine", "A new title", {"replaced": True})
    _add(store, [old, new])
    require(store.documents([old.id]) == [new], "the last of equal ids must win")
    require(len(store) == len(documents), "a replaced document must not count twice")
    for stage in store.first_stages:
        found = _found(store, stage, len(documents), {"replaced": True})
        require(found == [old.id], f"{stage} must find the new metadata of a replaced document")
        # The word is in no other text, and no vector is nearer to that of the text.
        query = new.text if stage == DENSE else "submarine"
        [[best, *_]] = store.retriever(stage).retrieve([_query(store, query)], 1)
        require(best.id == old.id, f"{stage} must find the new text of a replaced document")
    _add(store, [old])


def _check_refused(store: Store, count: int) -> None:
    """What cannot be stored as it is must be refused, and its batch with it."""
    for wrong in (
        Document("nul in the text", "a\0b"),
        Document("nul in the metadata", "a boat", metadata={"a": "b\0c"}),
        Document("nul in a key", "a boat", metadata={"a\0b": 1}),
    ):
        try:
            _add(store, [Document("with it", "a boat"), wrong])
        except InvalidDocumentError:
            require(len(store) == count, "a refused document must take its whole batch with it")
        else:
            require(store.documents([wrong.id]) == [wrong], f"{wrong.id} must stay, or be refused")
            store.delete([wrong.id, "with it"])
    require(len(store) == count, "delete() must delete documents")


def _check_deleting(store: Store, documents: Sequence[Document]) -> None:
    ids = [document.id for document in documents]
    first, rest = ids[:5], ids[5:]
    require(store.delete([*first, first[0], "no such id"]) == 5, "delete() must count documents")
    require(store.documents(first) == [None] * 5, "a deleted document must be gone")
    for stage in store.first_stages:
        found = _found(store, stage, len(ids))
        require(set(found) == set(rest), f"{stage} must not find a deleted document, only others")
    require(store.delete(rest) == len(rest), "delete() must return how many there were")

"""Haystack's retrievers and document stores as first stages."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
from haystack import Document, component
from haystack.components.retrievers.in_memory import (
    InMemoryBM25Retriever,
    InMemoryEmbeddingRetriever,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore

from rerank_search import (
    CrossEncoderReranker,
    InvalidFilterError,
    InvalidInputError,
    PluginError,
    Searcher,
)
from rerank_search.plugins.haystack import HaystackStage
from rerank_search.plugins.haystack.store_filters import haystack_filters
from rerank_search.searchable import searchable
from rerank_search.testing import check_searchable
from tests.plugins.conftest import DOCUMENTS, QUERIES, QUERY


def vector(text: str) -> list[float]:
    return [1.0 + text.count(letter) for letter in "aeijorst"]


@component
class Letters:
    """Embeds a text by counts of a few letters."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        return {"embedding": vector(text)}


@component
class Listed:
    """A retriever with a limit of its own."""

    def __init__(self, found: list[Document]) -> None:
        self.found = found

    @component.output_types(documents=list[Document])
    def run(self, query: str) -> dict[str, Any]:
        return {"documents": self.found}


@component
class Down:
    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int) -> dict[str, Any]:
        raise ConnectionError("no route to host")


@pytest.fixture(scope="module")
def store() -> InMemoryDocumentStore:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [
            Document(
                id=each.id,
                content=each.text,
                meta=copy.deepcopy(dict(each.metadata)),
                embedding=vector(each.text),
            )
            for each in DOCUMENTS
        ]
    )
    return store


@pytest.fixture
def bm25(store: InMemoryDocumentStore) -> HaystackStage:
    return HaystackStage(InMemoryBM25Retriever(store), scores="similarity")


def allows(id: str) -> bool:
    return id.startswith(("boat-", "join-"))


@pytest.mark.parametrize("kind", ["bm25", "embedding", "by place"])
def test_a_retriever_conforms(store: InMemoryDocumentStore, bm25: HaystackStage, kind: str) -> None:
    stage = {
        "bm25": bm25,
        "embedding": HaystackStage(
            InMemoryEmbeddingRetriever(store), text_embedder=Letters(), scores="similarity"
        ),
        "by place": HaystackStage(InMemoryBM25Retriever(store)),
    }[kind]
    check_searchable(
        searchable(stage),
        QUERIES[:3],
        documents=len(DOCUMENTS),
        filter={"word": {"$in": ["boat", "join"]}},
        allows=allows,
    )


def test_a_store_is_searched_in_two_stages(
    store: InMemoryDocumentStore, bm25: HaystackStage, reranker: CrossEncoderReranker
) -> None:
    before = copy.deepcopy(store.storage)
    response = Searcher(bm25, reranker).search(QUERY, top_k=3, candidates=20)
    assert (response.first_stage, response.candidates, response.reranked) == ("haystack", 20, True)
    originals = {each.id: each for each in DOCUMENTS}
    for hit in response.hits:
        assert hit.document is not None
        assert hit.document.text == originals[hit.id].text
        assert hit.document.metadata == originals[hit.id].metadata
    assert store.storage == before


FILTERS: list[tuple[Any, Any]] = [
    ({"word": "boat"}, lambda word, number: word == "boat"),
    ({"number": {"$gte": 1, "$lt": 3}}, lambda word, number: 1 <= number < 3),
    ({"word": {"$ne": "boat"}}, lambda word, number: word != "boat"),
    ({"word": {"$nin": ["boat", "join"]}}, lambda word, number: word not in ("boat", "join")),
    ({"word": {"$not": {"$eq": "boat"}}, "number": 1}, lambda w, n: w != "boat" and n == 1),
    (
        {"$or": [{"word": "boat"}, {"$not": {"number": {"$gt": 0}}}]},
        lambda word, number: word == "boat" or not number > 0,
    ),
    ({"missing": {"$ne": 1}}, lambda word, number: True),
    ({"missing": 1}, lambda word, number: False),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
def test_a_filter_allows_the_same_as_in_an_index(bm25, filter, expected) -> None:
    [hits] = bm25.retrieve([QUERY], 100, filter=filter)
    assert {hit.id for hit in hits} == {
        each.id for each in DOCUMENTS if expected(each.metadata["word"], each.metadata["number"])
    }


def test_a_filter_is_added_to_those_of_the_retriever(store: InMemoryDocumentStore) -> None:
    own = {"field": "meta.word", "operator": "==", "value": "boat"}
    stage = HaystackStage(InMemoryBM25Retriever(store, filters=own))
    [hits] = stage.retrieve([QUERY], 10, filter={"number": 2})
    assert [hit.id for hit in hits] == ["boat-2"]


def test_a_nested_key_is_a_path() -> None:
    assert haystack_filters({"$.author.name": "Ann"}) == {
        "field": "meta.author.name",
        "operator": "==",
        "value": "Ann",
    }


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"tags": {"$contains": "x"}}, r"\$contains of 'tags' has no counterpart.*Haystack"),
        ({"word": {"$prefix": "b"}}, r"\$prefix of 'word' has no counterpart"),
        ({"word": {"$exists": True}}, r"\$exists of 'word' has no counterpart"),
        ({"word": None}, "has None"),
        ({"word": {"$in": ["a", None]}}, "has None"),
        ({"word": {"$gt": "boat"}}, "only orders numbers and dates"),
        ({"a.b": 1}, "a dot means a nested key"),
        ({"word": {"$near": 1}}, "is not a filter operator"),
        ({"$or": []}, "non-empty list"),
    ],
)
def test_a_filter_without_a_translation_is_refused(bm25, filter, message: str) -> None:
    with pytest.raises(InvalidFilterError, match=message):
        bm25.retrieve([QUERY], 3, filter=filter)


def test_a_filter_is_refused_by_a_retriever_that_takes_none() -> None:
    with pytest.raises(InvalidFilterError, match="Listed takes no filters"):
        HaystackStage(Listed([])).retrieve([QUERY], 3, filter={"word": "boat"})


def test_a_limit_of_the_retriever_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = HaystackStage(Listed([Document(id="a", content="x"), Document(id="b", content=None)]))
    with caplog.at_level(logging.WARNING):
        assert [len(stage.retrieve([QUERY], k)[0]) for k in (1, 3, 4)] == [1, 2, 2]
    [record] = caplog.records
    assert "found 2 documents where 3 were asked for" in record.getMessage()


def test_chunks_are_folded_by_their_source() -> None:
    chunks = [
        Document(id=f"c{number}", content=f"path {number}", meta={"source": number % 3})
        for number in range(12)
    ]
    store = InMemoryDocumentStore()
    store.write_documents(chunks)
    retriever = InMemoryBM25Retriever(store)
    with pytest.raises(InvalidInputError, match="set fold_chunks=True"):
        HaystackStage(retriever, id_key="source").retrieve(["path"], 3)
    stage = HaystackStage(retriever, scores="similarity", id_key="source", fold_chunks=True)
    assert [hit.id for hit in stage.retrieve(["path"], 3)[0]] == ["0", "1", "2"]


def test_an_error_of_the_store_names_the_first_stage() -> None:
    with pytest.raises(PluginError, match=r"'haystack' failed \(ConnectionError: no route"):
        HaystackStage(Down()).retrieve([QUERY], 3)
    listed = Listed([Document(id="a", content="x")])
    with pytest.raises(PluginError, match=r"score=None is not a number.*Leave scores out"):
        HaystackStage(listed, scores="similarity").retrieve([QUERY], 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"retriever": InMemoryDocumentStore()}, "is not a component"),
        ({"retriever": InMemoryBM25Retriever}, "is not a component"),
        ({"retriever": Letters()}, "takes neither query nor query_embedding"),
        ({"retriever": InMemoryEmbeddingRetriever(InMemoryDocumentStore())}, "give text_embedder"),
        ({"text_embedder": Letters()}, "leave text_embedder out"),
        ({"scores": "cosine"}, "scores='cosine' is unknown"),
    ],
)
def test_an_invalid_argument_is_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        HaystackStage(**{"retriever": Listed([]), **arguments})

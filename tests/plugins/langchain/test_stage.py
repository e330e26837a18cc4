"""LangChain's vector stores and retrievers as first stages."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

from rerank_search import (
    CrossEncoderReranker,
    InvalidFilterError,
    InvalidInputError,
    PluginError,
    Searcher,
)
from rerank_search.plugins.langchain import LangChainStage, RerankSearchRetriever
from rerank_search.searchable import searchable
from rerank_search.testing import check_searchable
from tests.plugins.conftest import DOCUMENTS, QUERIES, QUERY


class Words(Embeddings):
    """Counts of a few letters: equal texts, and some others, have equal vectors."""

    def embed_query(self, text: str) -> list[float]:
        return [1.0 + text.count(letter) for letter in "aeijorst"]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def documents() -> list[Document]:
    return [
        Document(each.text, id=each.id, metadata=copy.deepcopy(dict(each.metadata)))
        for each in DOCUMENTS
    ]


def store_of(given: list[Document]) -> InMemoryVectorStore:
    store = InMemoryVectorStore(Words())
    store.add_documents(given)
    return store


@pytest.fixture
def store() -> InMemoryVectorStore:
    return store_of(documents())


class Listed(BaseRetriever):
    """A retriever with a limit of its own that returns the first documents of a list."""

    found: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.found


class First(Listed):
    k: int = 4

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.found[: self.k]


class Asked(Listed):
    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, limit: int = 4
    ) -> list[Document]:
        return self.found[:limit]


class OnlyAsync(Listed):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        raise NotImplementedError("use ainvoke")

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        await asyncio.sleep(0)
        return self.found


def by_word(filter: Any) -> dict[str, Any]:
    return {"filter": lambda document: document.metadata["word"] == filter["word"]}


def allows(id: str) -> bool:
    return id.startswith("boat-")


def ids(stage: LangChainStage, k: int, query: str = QUERY) -> list[str]:
    return [hit.id for hit in stage.retrieve([query], k)[0]]


@pytest.mark.parametrize("scores", ["similarity", None])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_vector_store_conforms(
    store: InMemoryVectorStore, scores: Any, asynchronous: bool
) -> None:
    stage = LangChainStage(
        store, scores=scores, translate_filter=by_word, asynchronous=asynchronous
    )
    check_searchable(
        searchable(stage),
        QUERIES[:3],
        documents=len(DOCUMENTS),
        filter={"word": "boat"},
        allows=allows,
    )


def test_the_retriever_of_a_vector_store_is_asked_for_the_candidates(
    store: InMemoryVectorStore,
) -> None:
    stage = LangChainStage(store.as_retriever(search_kwargs={"k": 2}), translate_filter=by_word)
    check_searchable(
        searchable(stage),
        QUERIES[:3],
        documents=len(DOCUMENTS),
        filter={"word": "boat"},
        allows=allows,
    )
    assert ids(stage, 7) == ids(LangChainStage(store), 7)


def test_a_store_is_searched_in_two_stages(
    store: InMemoryVectorStore, reranker: CrossEncoderReranker
) -> None:
    before = copy.deepcopy(store.store)
    response = Searcher(LangChainStage(store), reranker).search(QUERY, top_k=3, candidates=20)
    assert (response.first_stage, response.candidates, response.reranked) == ("langchain", 20, True)
    originals = {each.id: each for each in DOCUMENTS}
    for hit in response.hits:
        assert hit.document is not None
        assert hit.document.text == originals[hit.id].text
        assert hit.document.metadata == originals[hit.id].metadata
        assert set(hit.stage_scores) == {"langchain", "rerank"}
    assert store.store == before


def test_equal_scores_are_in_the_order_of_ids_at_every_cut_off() -> None:
    same = [Document("join a path", id=f"d{number:02}") for number in reversed(range(30))]
    stage = LangChainStage(store_of([*same, Document("bread", id="a")]), scores="similarity")
    everything = ids(stage, 50)
    assert everything[:30] == sorted(everything[:30])
    for k in (1, 2, 7, 29, 30, 31):
        assert ids(stage, k) == everything[:k]


class Distances(InMemoryVectorStore):
    """A store whose scores are distances, as those of FAISS and Chroma."""

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Any:
        found = super().similarity_search_with_score(query, k, **kwargs)
        return [(document, 1 - score) for document, score in found]


def test_distances_are_negated_and_the_wrong_direction_is_an_error(
    store: InMemoryVectorStore,
) -> None:
    distances = Distances(Words())
    distances.add_documents(documents())
    near, far = (
        LangChainStage(store, scores="similarity"),
        LangChainStage(distances, scores="distance"),
    )
    assert ids(far, 9) == ids(near, 9)
    scores = [hit.score for hit in far.retrieve([QUERY], 9)[0]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(near.retrieve([QUERY], 1)[0][0].score - 1)
    for wrong, right in ((store, "similarity"), (distances, "distance")):
        other = "distance" if right == "similarity" else "similarity"
        with pytest.raises(InvalidInputError, match=f"set scores='{right}'"):
            LangChainStage(wrong, scores=other).retrieve([QUERY], 9)  # type: ignore[arg-type]


def test_a_limit_of_the_retriever_that_is_too_low_is_an_error() -> None:
    stage = LangChainStage(First(found=documents(), k=5))
    assert len(ids(stage, 5)) == 5
    with pytest.raises(InvalidInputError, match="never finds more than 5 results, and 6 are"):
        stage.retrieve([QUERY], 6)
    diverse = store_of(documents()).as_retriever(search_type="mmr", search_kwargs={"fetch_k": 8})
    assert len(ids(LangChainStage(diverse), 8)) == 8
    with pytest.raises(InvalidInputError, match=r"set search_kwargs\['fetch_k'\]=9"):
        LangChainStage(diverse).retrieve([QUERY], 9)


def test_too_few_results_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = LangChainStage(Listed(found=documents()[:3]))
    with caplog.at_level(logging.WARNING):
        assert [len(ids(stage, k)) for k in (2, 4, 5)] == [2, 3, 3]
    [record] = caplog.records
    assert "found 3 documents where 4 were asked for" in record.getMessage()


def test_the_number_is_given_by_the_argument_that_the_user_names(searcher: Searcher) -> None:
    stage = LangChainStage(Asked(found=documents()), k_argument="limit")
    assert len(ids(stage, 9)) == 9
    ours = LangChainStage(RerankSearchRetriever(searcher=searcher), k_argument="k")
    expected = searcher.search(QUERY, top_k=5).hits
    assert ids(ours, 5) == [hit.id for hit in expected]
    with pytest.raises(InvalidInputError, match="'k', which Asked does not take"):
        LangChainStage(Asked(found=[]), k_argument="k")
    with pytest.raises(InvalidInputError, match="leave it out"):
        LangChainStage(store_of([]), k_argument="k")


def test_a_retriever_that_only_awaits_is_asked_asynchronously() -> None:
    with pytest.raises(PluginError, match="set asynchronous=True"):
        LangChainStage(OnlyAsync(found=documents())).retrieve([QUERY], 2)
    stage = LangChainStage(OnlyAsync(found=documents()), asynchronous=True)
    assert ids(stage, 2) == [each.id for each in DOCUMENTS[:2]]

    async def within_a_loop() -> list[str]:
        found = await Searcher(stage, None).asearch(QUERY, top_k=2)
        return [hit.id for hit in found.hits]

    assert asyncio.run(within_a_loop()) == ids(stage, 2)


def test_documents_without_an_id_are_refused_unless_a_key_has_it() -> None:
    unnamed = [Document("join", metadata={"at": 1}), Document("join", metadata={"at": 2})]
    with pytest.raises(InvalidInputError, match=r"without an id: 'join'.*id_key"):
        LangChainStage(Listed(found=unnamed)).retrieve([QUERY], 2)
    assert ids(LangChainStage(Listed(found=unnamed), id_key="at"), 2) == ["1", "2"]
    with pytest.raises(InvalidInputError, match=r"'source', is None.*this one has 'at'"):
        LangChainStage(Listed(found=unnamed), id_key="source").retrieve([QUERY], 2)


def chunks() -> list[Document]:
    return [
        Document(f"{word} the path {number}", id=f"{word}{number}", metadata={"source": word})
        for number in range(6)
        for word in ("join", "boat", "write", "bread")
    ]


def test_chunks_are_folded_into_their_document_only_if_asked() -> None:
    store = store_of(chunks())
    with pytest.raises(InvalidInputError, match="twice for one query: set fold_chunks=True"):
        LangChainStage(store, id_key="source").retrieve([QUERY], 4)
    folded = LangChainStage(store, scores="similarity", id_key="source", fold_chunks=True)
    best = folded.retrieve([QUERY], 4)[0]
    assert sorted(hit.id for hit in best) == ["boat", "bread", "join", "write"]
    found = {}
    for document, score in store.similarity_search_with_score(QUERY, k=24):
        found.setdefault(document.metadata["source"], score)
    assert {hit.id: hit.score for hit in best} == pytest.approx(found)
    check_searchable(searchable(folded), QUERIES[:2], documents=4)


def test_a_title_is_reranked_with_the_text() -> None:
    titled = [Document("x", id="a", metadata={"title": "Paths"}), Document("y", id="b")]
    [hits] = LangChainStage(Listed(found=titled), title_key="title").retrieve([QUERY], 2)
    assert [hit.document.title for hit in hits if hit.document] == ["Paths", ""]


def test_a_filter_is_translated_or_refused(store: InMemoryVectorStore) -> None:
    with pytest.raises(InvalidFilterError, match="cannot be applied by the first stage"):
        Searcher(LangChainStage(store), None).search(QUERY, filter={"word": "boat"})
    assert ids(LangChainStage(store), 1) == [
        hit.id for hit in LangChainStage(store).retrieve([QUERY], 1, filter={})[0]
    ]
    fixed = LangChainStage(Listed(found=documents()), translate_filter=by_word)
    with pytest.raises(InvalidInputError, match="'filter', which Listed does not take"):
        fixed.retrieve([QUERY], 2, filter={"word": "boat"})


class Down(InMemoryVectorStore):
    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        raise ConnectionError("no route to host")


def test_an_error_of_the_store_names_the_first_stage() -> None:
    searcher = Searcher(LangChainStage(Down(Words()), name="my store"), None)
    with pytest.raises(PluginError, match=r"'my store' failed \(ConnectionError: no route"):
        searcher.search(QUERY)


def test_nothing_is_found_in_an_empty_store_and_for_a_blank_query(
    store: InMemoryVectorStore,
) -> None:
    assert LangChainStage(store_of([])).retrieve([QUERY], 5) == [[]]
    assert LangChainStage(store).retrieve(["", " \n"], 5) == [[], []]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"store": Words()}, "neither a vector store nor a retriever"),
        ({"name": ""}, "is empty"),
        ({"name": 3}, "name=3 is not a string"),
        ({"scores": "cosine"}, "scores='cosine' is unknown"),
        ({"translate_filter": {"a": 1}}, "cannot be called"),
        ({"fold_chunks": 1}, "is not True or False"),
        ({"store": Listed(found=[]), "scores": "distance"}, "needs a vector store"),
    ],
)
def test_an_invalid_argument_is_an_error(
    store: InMemoryVectorStore, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        LangChainStage(**{"store": store, **arguments})

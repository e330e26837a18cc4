from __future__ import annotations

import asyncio
import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from rerank_search import Document as IndexedDocument
from rerank_search import (
    Index,
    IndexExistsError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidInputError,
    SearchIndexError,
)
from rerank_search.plugins.langchain import RerankSearchVectorStore
from tests.plugins.conftest import QUERIES

DOCUMENTS = [
    Document("join the paths", id="join", metadata={"kind": "path", "of": {"tags": ["ü", None]}}),
    Document("join the lines", id="lines", metadata={"kind": "text"}),
    Document("", id="empty", metadata={"kind": "none", "relevance_score": 7}),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RerankSearchVectorStore]:
    Index.create(tmp_path / "index", encoder=None).close()
    store = RerankSearchVectorStore(tmp_path / "index", reranker=None)
    yield store
    store.close()


@pytest.fixture
def reranked(tmp_path: Path, calibrated: Path) -> Iterator[RerankSearchVectorStore]:
    with Index.create(tmp_path / "reranked", encoder=None) as index:
        store = RerankSearchVectorStore(index, reranker=calibrated)
        store.add_documents(DOCUMENTS)
        yield store


def test_documents_come_back_as_they_were_added(store: RerankSearchVectorStore):
    assert store.add_documents(DOCUMENTS) == ["join", "lines", "empty"]
    assert store.get_by_ids(["empty", "no", "join"]) == [DOCUMENTS[2], DOCUMENTS[0]]
    assert store.similarity_search("paths") == DOCUMENTS[:1]
    assert asyncio.run(store.asimilarity_search("paths")) == DOCUMENTS[:1]
    [(found, score)] = store.similarity_search_with_score("paths")
    assert found == DOCUMENTS[0]
    assert type(score) is float
    assert json.dumps(found.metadata)


def test_two_stages_find_and_score(reranked: RerankSearchVectorStore):
    found = reranked.similarity_search_with_score("join the paths", k=2)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert asyncio.run(reranked.asimilarity_search_with_score("join the paths", k=2)) == found
    chances = reranked.similarity_search_with_relevance_scores("join the paths", k=2)
    assert [document for document, _ in chances] == [document for document, _ in found]
    assert all(0 < chance < 1 for _, chance in chances)
    least = chances[0][1]
    retriever = reranked.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": least}
    )
    expected = [document for document, chance in chances if chance >= least]
    assert retriever.invoke("join the paths") == expected
    assert asyncio.run(retriever.ainvoke("join the paths")) == expected


def test_relevance_scores_need_a_calibration(store: RerankSearchVectorStore):
    store.add_documents(DOCUMENTS)
    with pytest.raises(InvalidInputError, match="calibrate"):
        store.similarity_search_with_relevance_scores("join")


def test_options_are_taken_by_searches_and_retrievers(store: RerankSearchVectorStore):
    store.add_documents(DOCUMENTS)
    assert len(store.similarity_search("join", k=1)) == 1
    assert len(store.similarity_search("join", top_k=1)) == 1
    assert store.similarity_search("join", filter={"kind": "text"}) == DOCUMENTS[1:2]
    retriever = store.as_retriever(search_kwargs={"k": 2, "filter": {"kind": "text"}})
    assert retriever.invoke("join") == DOCUMENTS[1:2]
    assert len(retriever.invoke("join", filter=None)) == 2
    for wrong, error in (
        ({"topk": 1}, TypeError),
        ({"k": 0}, InvalidInputError),
        ({"k": 2, "top_k": 1}, InvalidInputError),
        ({"first_stage": "dense"}, InvalidInputError),
        ({"fetch_k": 20}, TypeError),
    ):
        with pytest.raises(error):
            store.similarity_search("join", **wrong)
        with pytest.raises(error):
            asyncio.run(store.asimilarity_search("join", **wrong))


def test_what_an_index_cannot_do_says_what_to_do_instead(store: RerankSearchVectorStore):
    diverse = store.as_retriever(search_type="mmr", search_kwargs={"fetch_k": 20})
    for ask in (diverse.invoke, lambda query: asyncio.run(diverse.ainvoke(query))):
        with pytest.raises(NotImplementedError, match="collapse_duplicates=True"):
            ask("join")
    for ask in (
        store.similarity_search_by_vector,
        lambda vector: asyncio.run(store.asimilarity_search_by_vector(vector)),
    ):
        with pytest.raises(NotImplementedError, match="give similarity_search the query"):
            ask([1.0])


def test_documents_are_deleted_by_id_or_all(store: RerankSearchVectorStore):
    store.add_documents(DOCUMENTS)
    assert store.delete(["join", "unknown"])
    assert len(store.index) == 2
    assert asyncio.run(store.adelete())
    assert len(store.index) == 0
    with pytest.raises(TypeError, match="filter"):
        store.delete(["join"], filter={})


def test_texts_get_ids_and_lists_must_have_one_length(store: RerankSearchVectorStore):
    one, other = store.add_texts(["same", "same"])
    assert one != other
    assert len(store.similarity_search("same")) == 2
    assert store.add_texts(["a"], [{"n": 1}], ids=["x"], batch_size=1) == ["x"]
    for wrong in ({"metadatas": [{}]}, {"ids": ["a"]}, {"metadatas": []}):
        with pytest.raises(InvalidInputError, match="entries for 2 texts"):
            store.add_texts(["a", "b"], **wrong)
    assert store.add_texts(["a"], ids=[5]) == ["5"]
    with pytest.raises(InvalidInputError, match="one string"):
        store.add_texts("abc")
    with pytest.raises(TypeError, match="bulk"):
        store.add_texts(["a"], bulk=1)
    with pytest.raises(InvalidDocumentError):
        store.add_texts(["a"], [{"n": float("nan")}])


@pytest.mark.parametrize("wrong", [None, 5, "text", [None], ["text"], {"a": "text"}])
def test_what_are_no_documents_is_refused(store: RerankSearchVectorStore, wrong):
    with pytest.raises(InvalidInputError, match=r"documents.* of LangChain"):
        store.add_documents(wrong)
    with pytest.raises(InvalidInputError, match=r"documents.* of LangChain"):
        asyncio.run(store.aadd_documents(wrong))
    if wrong is not None:
        with pytest.raises(InvalidInputError):
            store.add_texts(["text"], metadatas=wrong)
    assert len(store.index) == 0


@pytest.mark.parametrize("wrong", [5, "x", {"x": 1}, {"x"}])
def test_what_are_no_ids_is_refused(store: RerankSearchVectorStore, wrong):
    with pytest.raises(InvalidInputError, match="ids"):
        store.add_texts(["text"], ids=wrong)


def test_documents_that_did_not_come_from_langchain_have_their_title(
    store: RerankSearchVectorStore,
):
    store.index.add([IndexedDocument("a", "the text", "The title", {"n": 1})])
    [found] = store.similarity_search("text")
    assert found == Document("the text", id="a", metadata={"title": "The title", "n": 1})
    store.index.add([IndexedDocument("b", "", "A violin")])
    [found] = store.similarity_search("violin")
    assert found == Document("A violin", id="b", metadata={"title": "A violin"})
    assert store.get_by_ids(["b"]) == [found]


@pytest.fixture
def sources() -> list[Document]:
    return [
        Document(f"the text {n} of a file", metadata={"source": f"{n % 2}.txt"}) for n in range(6)
    ]


def test_langchains_indexing_keeps_it_in_step(
    store: RerankSearchVectorStore, sources: list[Document]
):
    manager = InMemoryRecordManager("test")
    manager.create_schema()
    arguments = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    first = index(sources, manager, store, batch_size=2, **arguments)
    assert (first["num_added"], len(store.index)) == (6, 6)
    again = index(sources, manager, store, **arguments)
    assert (again["num_added"], again["num_skipped"]) == (0, 6)
    changed = [*sources[:4], Document("a new text", metadata={"source": "2.txt"})]
    last = index(changed, manager, store, **arguments)
    assert (last["num_added"], last["num_deleted"], len(store.index)) == (1, 2, 5)
    assert store.similarity_search("new")[0].metadata == {"source": "2.txt"}


async def test_langchains_asynchronous_indexing_keeps_it_in_step(
    store: RerankSearchVectorStore, sources: list[Document]
):
    manager = InMemoryRecordManager("test")
    await manager.acreate_schema()
    arguments = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    assert (await aindex(sources, manager, store, **arguments))["num_added"] == 6
    assert (await aindex(sources[:4], manager, store, **arguments))["num_deleted"] == 2
    assert len(store.index) == 4


def test_an_index_is_made_from_texts(tmp_path: Path):
    folder = tmp_path / "new"
    texts = ["one text", "another text"]
    given = {"index": folder, "encoder": None, "reranker": None}
    store = RerankSearchVectorStore.from_texts(texts, None, [{"n": 1}, {"n": 2}], **given)
    assert [found.metadata["n"] for found in store.similarity_search("another")] == [2]
    store.close()
    with pytest.raises(IndexExistsError):
        RerankSearchVectorStore.from_texts(texts, None, **given)
    shutil.rmtree(folder)
    store = RerankSearchVectorStore.from_documents(DOCUMENTS, None, **given)
    assert store.get_by_ids(["join"]) == DOCUMENTS[:1]
    store.close()
    shutil.rmtree(folder)
    store = asyncio.run(RerankSearchVectorStore.afrom_texts(texts, None, ids=["a", "b"], **given))
    assert [found.id for found in store.similarity_search("another")] == ["b"]
    store.close()
    for wrong in ({"embedding": DeterministicFakeEmbedding(size=3), **given}, {"encoder": None}):
        with pytest.raises(InvalidInputError, match=r"embedding=None|index="):
            RerankSearchVectorStore.from_texts(texts, **wrong)


def test_what_it_opened_is_closed_and_an_index_of_the_user_stays_open(
    store: RerankSearchVectorStore, reranked: RerankSearchVectorStore
):
    opened = store.index
    store.close()
    with pytest.raises(SearchIndexError, match="is closed"):
        len(opened)
    assert store.similarity_search("join") == []
    reranked.close()
    assert reranked.similarity_search("join")


def test_a_copy_opens_the_index_again(store: RerankSearchVectorStore):
    store.add_documents(DOCUMENTS)
    copied = copy.deepcopy(store)
    assert copied.similarity_search("paths") == DOCUMENTS[:1]
    assert repr(copied) == repr(store)
    copied.close()


def test_what_is_not_an_index_is_refused(tmp_path: Path):
    with pytest.raises(IndexNotFoundError):
        RerankSearchVectorStore(tmp_path / "nothing").add_texts(["a"])
    with pytest.raises(InvalidInputError, match="index=5 is not an index"):
        RerankSearchVectorStore(5)


def test_searches_at_the_same_time_find_the_same(notes: Path, tiny_reranker: Path):
    with Index.open(notes, read_only=True) as opened:
        store = RerankSearchVectorStore(opened, reranker=tiny_reranker)

        async def search() -> list[list[Document]]:
            return await asyncio.gather(*[store.asimilarity_search(query) for query in QUERIES])

        found = asyncio.run(search())
        assert len(found) == 32
        assert found == [store.similarity_search(query) for query in QUERIES]

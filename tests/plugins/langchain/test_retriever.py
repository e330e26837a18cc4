from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path

import pytest
from langchain_classic.retrievers import EnsembleRetriever
from langchain_core.documents import Document
from langchain_core.tracers.base import BaseTracer
from pydantic import ValidationError

from rerank_search import Document as IndexedDocument
from rerank_search import (
    FilterWarning,
    Index,
    IndexNotFoundError,
    InvalidInputError,
    RemoteSearcher,
    Searcher,
)
from rerank_search.client import ServerError
from rerank_search.context import pack
from rerank_search.plugins.langchain import RerankSearchRetriever
from tests.client.conftest import Served
from tests.plugins.conftest import DOCUMENTS, QUERIES, QUERY


@pytest.fixture
def retriever(searcher: Searcher) -> RerankSearchRetriever:
    return RerankSearchRetriever(searcher=searcher)


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_documents_are_those_of_a_search_with_their_metadata(
    retriever: RerankSearchRetriever, searcher: Searcher
):
    hits = searcher.search(QUERY).hits
    documents = retriever.invoke(QUERY)
    assert ids(documents) == [hit.id for hit in hits]
    for document, hit in zip(documents, hits, strict=True):
        assert document.page_content == hit.document.text
        score = document.metadata["relevance_score"]
        assert type(score) is float
        assert score == pytest.approx(hit.score)
        title = {"title": hit.document.title} if hit.document.title else {}
        more = {"document_id": hit.id, "relevance_score": score, **title}
        assert document.metadata == {**hit.document.metadata, **more}
        assert json.loads(json.dumps(document.metadata)) == document.metadata


def test_the_score_is_a_probability_if_the_reranker_is_calibrated(notes: Path, calibrated: Path):
    retriever = RerankSearchRetriever(index=notes, reranker=str(calibrated))
    scores = [each.metadata["relevance_score"] for each in retriever.invoke(QUERY)]
    assert all(0 < score < 1 for score in scores)
    assert scores == sorted(scores, reverse=True)
    kept = retriever.invoke(QUERY, min_relevance=scores[1])
    assert [each.metadata["relevance_score"] for each in kept] == scores[:2]
    assert retriever.invoke(QUERY, min_relevance=1.0) == []
    retriever.close()


@pytest.mark.parametrize("where", ["folder", "url", "searcher", "remote"])
def test_it_is_the_same_wherever_the_index_is(
    where: str, notes: Path, tiny_reranker: Path, server: Served, retriever: RerankSearchRetriever
):
    url = f"{server.url}/v1/indexes/notes"
    remote = RemoteSearcher(server.url, "notes")
    given = {
        "folder": lambda: RerankSearchRetriever(index=notes, reranker=str(tiny_reranker)),
        "url": lambda: RerankSearchRetriever(index=url),
        "searcher": lambda: retriever,
        "remote": lambda: RerankSearchRetriever(searcher=remote),
    }[where]()
    expected = retriever.invoke(QUERY, k=3)
    for found in (given.invoke(QUERY, k=3), asyncio.run(given.ainvoke(QUERY, k=3))):
        assert ids(found) == ids(expected)
        assert [each.page_content for each in found] == [each.page_content for each in expected]
        for each, other in zip(found, expected, strict=True):
            score = other.metadata["relevance_score"]
            assert each.metadata["relevance_score"] == pytest.approx(score, abs=1e-4)
            assert {**each.metadata, "relevance_score": score} == other.metadata
    given.close()
    remote.close()


ARGUMENTS = [
    {"k": 2},
    {"top_k": 2, "candidates": 3},
    {"filter": {"word": "boat"}},
    {"rerank": False, "first_stage": "bm25"},
    {"budget_ms": 60_000},
    {"k": 1, "text": "passage"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_are_taken_by_constructor_and_calls(
    arguments, searcher: Searcher, retriever: RerankSearchRetriever
):
    options = {"top_k" if name == "k" else name: value for name, value in arguments.items()}
    options.pop("text", None)
    expected = [hit.id for hit in searcher.search(QUERY, **options).hits]
    assert expected
    made = RerankSearchRetriever(searcher=searcher, **arguments)
    assert ids(made.invoke(QUERY)) == expected
    assert ids(retriever.invoke(QUERY, **arguments)) == expected
    assert ids(retriever.bind(**arguments).invoke(QUERY)) == expected
    assert [ids(each) for each in retriever.batch([QUERY, QUERY], **arguments)] == [expected] * 2
    assert retriever.invoke(QUERY, **arguments) == made.invoke(QUERY)

    async def call() -> list[list[Document]]:
        return [
            await made.ainvoke(QUERY),
            await retriever.ainvoke(QUERY, **arguments),
            *await retriever.abatch([QUERY], **arguments),
        ]

    assert asyncio.run(call()) == [made.invoke(QUERY)] * 3


def test_an_argument_of_a_call_wins(searcher: Searcher):
    retriever = RerankSearchRetriever(searcher=searcher, k=3, filter={"word": "boat"})
    assert len(retriever.invoke(QUERY)) == 3
    assert len(retriever.invoke(QUERY, top_k=2)) == 2
    assert len(retriever.invoke(QUERY, filter=None, k=5)) == 5


def test_an_error_does_not_show_the_key():
    with pytest.raises(ValidationError, match="api_key is for a server") as refused:
        RerankSearchRetriever(index="notes", api_key="the secret")
    assert "the secret" not in str(refused.value)


def test_unknown_and_invalid_arguments_are_refused(
    searcher: Searcher, retriever: RerankSearchRetriever
):
    with pytest.raises(ValidationError, match="topk"):
        RerankSearchRetriever(searcher=searcher, topk=3)
    for wrong in ({"k": 0}, {"top_k": True}, {"text": "some"}, {"rerank": False, "budget_ms": 5}):
        with pytest.raises((ValidationError, InvalidInputError)):
            RerankSearchRetriever(searcher=searcher, **wrong)
    for wrong in ({}, {"searcher": searcher, "index": "notes"}, {"index": 5}, {"index": ""}):
        with pytest.raises((ValidationError, InvalidInputError, IndexNotFoundError)):
            RerankSearchRetriever(**wrong).invoke(QUERY)
    for wrong, error in (
        ({"topk": 3}, TypeError),
        ({"k": 0}, InvalidInputError),
        ({"k": 2, "top_k": 3}, InvalidInputError),
        ({"text": "some"}, InvalidInputError),
        ({"first_stage": "dense"}, InvalidInputError),
        ({"min_relevance": 0.5}, InvalidInputError),
        ({"filter": {"$nor": 1}}, InvalidInputError),
    ):
        with pytest.raises(error):
            retriever.invoke(QUERY, **wrong)
        with pytest.raises(error):
            asyncio.run(retriever.ainvoke(QUERY, **wrong))


def test_a_filter_that_names_an_unknown_key_is_warned_about(retriever: RerankSearchRetriever):
    with pytest.warns(FilterWarning, match="there are 'word'"):
        assert retriever.invoke(QUERY, filter={"wrod": "boat"}) == []


def test_nothing_to_find_gives_no_documents(retriever: RerankSearchRetriever):
    assert retriever.invoke("  ") == retriever.invoke(QUERY, filter={"word": "x"}) == []


def test_a_server_that_does_not_answer_is_a_server_error(silent: RemoteSearcher):
    retriever = RerankSearchRetriever(searcher=silent)
    with pytest.raises(ServerError) as raised:
        retriever.invoke(QUERY)
    assert raised.value.type == "timeout"
    with pytest.raises(ServerError):
        asyncio.run(retriever.ainvoke(QUERY))


def test_an_index_that_is_being_written_is_searched_all_the_while(searched_while_written):
    def make(folder: Path):
        retriever = RerankSearchRetriever(index=folder, reranker=None)
        return lambda: ids(retriever.invoke("paths"))

    assert searched_while_written(make) == ([], ["a", "b"])


def test_a_server_that_is_down_or_asks_for_a_key_is_a_server_error(guarded: tuple[str, str]):
    down = RerankSearchRetriever(searcher=RemoteSearcher("http://127.0.0.1:9", "x", retries=0))
    with pytest.raises(ServerError, match="serve` runs there"):
        down.invoke(QUERY)
    url, secret = guarded
    without = RerankSearchRetriever(index=url)
    with pytest.raises(ServerError, match="api_key"):
        without.invoke(QUERY)
    without.close()
    retriever = RerankSearchRetriever(index=url, api_key=secret)
    assert retriever.invoke(QUERY)
    assert secret not in repr(retriever)
    assert secret not in str(retriever.model_dump())
    with pytest.raises(InvalidInputError, match="cannot be pickled"):
        copy.deepcopy(retriever)
    retriever.close()


def test_a_copy_opens_the_index_again(notes: Path, tiny_reranker: Path):
    retriever = RerankSearchRetriever(index=notes, reranker=str(tiny_reranker), k=2)
    expected = retriever.invoke(QUERY)
    copied = copy.deepcopy(retriever)
    retriever.close()
    assert copied.invoke(QUERY) == expected
    copied.close()


def test_threads_that_ask_first_together_load_once(notes: Path, tiny_reranker: Path, in_threads):
    retriever = RerankSearchRetriever(index=notes, reranker=str(tiny_reranker), k=3)
    results, loaded = in_threads(lambda: ids(retriever.invoke(QUERY)))
    assert results == [ids(retriever.invoke(QUERY))] * 32
    assert loaded == 1
    retriever.close()


def test_calls_at_the_same_time_find_the_same_while_the_loop_goes_on(
    retriever: RerankSearchRetriever, counted
):
    found, ticks = counted([retriever.ainvoke(query) for query in QUERIES])
    assert len(found) == 32
    assert [ids(each) for each in found] == [ids(retriever.invoke(query)) for query in QUERIES]
    assert ticks > 10 * len(QUERIES)


def test_one_retriever_works_in_one_loop_after_another(server: Served):
    retriever = RerankSearchRetriever(index=f"{server.url}/v1/indexes/notes")
    found = [ids(asyncio.run(retriever.ainvoke(QUERY))) for _ in range(3)]
    assert found[0]
    assert found == [found[0]] * 3
    retriever.close()


def test_documents_with_the_same_text_both_survive(twins: Index):
    retriever = RerankSearchRetriever(searcher=Searcher(twins, None))
    assert ids(retriever.invoke("paths")) == ["a", "b"]
    ensemble = EnsembleRetriever(retrievers=[retriever, retriever], id_key="document_id")
    assert sorted(map(str, ids(ensemble.invoke("paths")))) == ["a", "b"]


def test_further_passages_and_duplicates_are_in_the_metadata(tmp_path: Path):
    words = ["river sea boat.", "join the paths.", "bread in the oven."]
    text = " ".join(word for word in words for _ in range(300))
    with Index.create(tmp_path / "long", encoder=None) as index:
        index.add([IndexedDocument(id, text) for id in ("a", "b")])
        retriever = RerankSearchRetriever(searcher=Searcher(index, None))
        [found] = retriever.invoke(
            "paths boat", passages_per_document=2, collapse_duplicates=True, text="passage"
        )
    assert (found.id, found.metadata["duplicates"]) == ("a", ["b"])
    first, second = found.metadata["passages"]
    assert first["text"] == found.page_content == text[slice(*first["span"])]
    assert second["text"] == text[slice(*second["span"])]
    assert first["relevance_score"] >= second["relevance_score"]
    assert json.loads(json.dumps(found.metadata)) == found.metadata


def test_documents_may_be_a_packed_context(searcher: Searcher):
    retriever = RerankSearchRetriever(searcher=searcher, k=2, context_tokens=200)
    expected = pack(searcher.search(QUERY, top_k=2), tokens=200)
    found = retriever.invoke(QUERY)
    assert [document.page_content for document in found] == [*expected.blocks]
    assert [document.id for document in found] == [each.id for each in expected.citations]
    assert asyncio.run(retriever.ainvoke(QUERY)) == found
    assert retriever.invoke(QUERY, context_tokens=None) != found
    for wrong in ({"context_tokens": 0}, {"context_tokens": 9, "text": "passage"}):
        with pytest.raises(InvalidInputError, match="context_tokens"):
            retriever.invoke(QUERY, **wrong)
        with pytest.raises(ValidationError, match="context_tokens"):
            RerankSearchRetriever(searcher=searcher, **wrong)


def test_langsmith_is_told_where_documents_come_from(retriever: RerankSearchRetriever):
    class Keeping(BaseTracer):
        metadata: dict[str, object] | None = None

        def _persist_run(self, run) -> None:
            Keeping.metadata = run.extra["metadata"]

    retriever.invoke(QUERY, {"callbacks": [Keeping()]})
    assert Keeping.metadata == {
        "ls_retriever_name": "reranksearch",
        "ls_vector_store_provider": "rerank_search",
    }


def test_every_field_of_a_document_is_in_the_index(retriever: RerankSearchRetriever):
    [found] = retriever.invoke(QUERY, k=1, filter={"word": "boat", "number": 0})
    [added] = [each for each in DOCUMENTS if each.id == "boat-0"]
    assert found.metadata["title"] == added.title
    assert found.metadata["of"] == added.metadata["of"]

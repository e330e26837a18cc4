"""RerankSearchRetriever, which is in ``haystack_integrations``."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers import MultiQueryTextRetriever
from haystack.core.errors import SerializationError
from haystack.document_stores.types import FilterPolicy
from haystack.errors import FilterError
from haystack.utils import Secret

from haystack_integrations.components.retrievers.rerank_search import RerankSearchRetriever
from haystack_integrations.document_stores.rerank_search import RerankSearchDocumentStore
from rerank_search import (
    CrossEncoderReranker,
    Index,
    IndexNotFoundError,
    InvalidInputError,
    RemoteSearcher,
    Searcher,
)
from rerank_search.client import ServerError
from rerank_search.context import pack
from rerank_search.options import OPTIONS
from tests.client.conftest import Served
from tests.plugins.conftest import QUERIES, QUERY

BOATS = {"field": "meta.word", "operator": "==", "value": "boat"}
FIRST = {"field": "meta.number", "operator": "==", "value": 1}


@pytest.fixture
def retriever(searcher: Searcher) -> RerankSearchRetriever:
    return RerankSearchRetriever(searcher=searcher)


def both(retriever: RerankSearchRetriever, query: str = QUERY, **inputs: Any) -> list[Document]:
    """The same documents from both methods."""
    found = retriever.run(query, **inputs)
    assert asyncio.run(retriever.run_async(query, **inputs)) == found
    assert list(found) == ["documents"]
    return found["documents"]


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


def test_documents_are_those_of_a_search_with_their_metadata(
    retriever: RerankSearchRetriever, searcher: Searcher
):
    hits = searcher.search(QUERY).hits
    documents = both(retriever, scale_score=False)
    assert ids(documents) == [hit.id for hit in hits]
    for document, hit in zip(documents, hits, strict=True):
        assert document.content == hit.document.text
        assert type(document.score) is float
        assert document.score == pytest.approx(hit.score)
        title = {"title": hit.document.title} if hit.document.title else {}
        assert document.meta == {**title, **hit.document.metadata}
        assert json.dumps(document.to_dict())


def test_scores_are_between_0_and_1_and_probabilities_if_calibrated(
    retriever: RerankSearchRetriever, notes: Path, calibrated: Path
):
    for document in both(retriever):
        assert 0 < document.score < 1
    with_chances = RerankSearchRetriever(index=notes, reranker=str(calibrated))
    scores = [document.score for document in both(with_chances)]
    assert scores == sorted(scores, reverse=True)
    kept = both(with_chances, min_relevance=scores[1])
    assert [document.score for document in kept] == scores[:2]
    assert both(with_chances, min_relevance=1.0) == []
    raw = both(with_chances, scale_score=False)
    assert [document.score for document in raw] != scores
    with_chances.close()


@pytest.mark.parametrize("where", ["folder", "url", "remote", "store"])
def test_it_is_the_same_wherever_the_index_is(
    where: str, notes: Path, tiny_reranker: Path, server: Served, retriever: RerankSearchRetriever
):
    remote = RemoteSearcher(server.url, "notes")
    local = {"reranker": str(tiny_reranker)}
    given = {
        "folder": lambda: RerankSearchRetriever(index=notes, **local),
        "url": lambda: RerankSearchRetriever(index=f"{server.url}/v1/indexes/notes"),
        "remote": lambda: RerankSearchRetriever(searcher=remote),
        "store": lambda: RerankSearchRetriever(RerankSearchDocumentStore(notes), **local),
    }[where]()
    expected = both(retriever, top_k=3)
    for found, other in zip(both(given, top_k=3), expected, strict=True):
        assert found.score == pytest.approx(other.score, abs=1e-4)
        assert (found.id, found.content, found.meta) == (other.id, other.content, other.meta)
    given.close()
    remote.close()


INPUTS = [
    ({"top_k": 2}, {"top_k": 2}),
    ({"top_k": 2, "candidates": 3}, {"top_k": 2, "candidates": 3}),
    ({"filters": BOATS}, {"filter": {"word": "boat"}}),
    ({"rerank": False, "first_stage": "bm25"}, {"rerank": False, "first_stage": "bm25"}),
    ({"budget_ms": 60_000}, {}),
    ({"top_k": 1, "text": "passage", "scale_score": False}, {"top_k": 1}),
    ({"passages_per_document": 2, "collapse_duplicates": True}, {"collapse_duplicates": True}),
]


@pytest.mark.parametrize(("inputs", "options"), INPUTS)
def test_inputs_are_taken_by_constructor_and_runs(
    inputs, options, searcher: Searcher, retriever: RerankSearchRetriever
):
    expected = [hit.id for hit in searcher.search(QUERY, **options).hits]
    assert expected
    made = RerankSearchRetriever(searcher=searcher, **inputs)
    assert ids(both(made)) == expected
    assert both(retriever, **inputs) == both(made)
    pipeline = Pipeline()
    pipeline.add_component("retriever", RerankSearchRetriever(searcher=searcher))
    ran = pipeline.run({"retriever": {"query": QUERY, **inputs}})
    assert ran["retriever"]["documents"] == both(made)


def test_an_input_of_a_run_wins(searcher: Searcher):
    retriever = RerankSearchRetriever(searcher=searcher, top_k=3, filters=BOATS, rerank=False)
    assert len(both(retriever)) == 3
    assert len(both(retriever, top_k=2)) == 2
    assert {each.meta["number"] for each in both(retriever, filters=FIRST)} == {1}
    assert both(retriever, rerank=True) != both(retriever)


def test_filters_of_a_run_replace_those_of_the_retriever_or_are_merged(searcher: Searcher):
    merging = RerankSearchRetriever(
        searcher=searcher, filters=BOATS, filter_policy=FilterPolicy.MERGE
    )
    assert ids(both(merging, filters=FIRST)) == ["boat-1"]
    for wrong in ("boat", {"operator": "AND", "conditions": ["boat"]}, [BOATS], {"word": "boat"}):
        with pytest.raises(FilterError):
            merging.run(QUERY, filters=wrong)
    replacing = RerankSearchRetriever(searcher=searcher, filters=BOATS)
    assert len(both(replacing, filters=FIRST)) == 8


def test_every_search_option_is_an_input_and_a_parameter():
    inputs = inspect.signature(RerankSearchRetriever.run).parameters
    assert inputs == inspect.signature(RerankSearchRetriever.run_async).parameters
    parameters = inspect.signature(RerankSearchRetriever.__init__).parameters
    for name in {*OPTIONS} - {"filter"} | {"filters"}:
        assert inputs[name].default is None
        assert name in parameters


def test_unknown_and_invalid_arguments_are_refused(
    searcher: Searcher, retriever: RerankSearchRetriever
):
    for wrong, error in (
        ({"topk": 3}, TypeError),
        ({"topk": None}, TypeError),
        ({"filter": {"word": "boat"}}, TypeError),
        ({"top_k": 0}, InvalidInputError),
        ({"top_k": True}, InvalidInputError),
        ({"candidates": 2.5}, InvalidInputError),
        ({"text": "some"}, InvalidInputError),
        ({"context_tokens": 0}, InvalidInputError),
        ({"context_tokens": 50, "text": "passage"}, InvalidInputError),
        ({"scale_score": "yes"}, InvalidInputError),
        ({"rerank": False, "budget_ms": 5}, InvalidInputError),
        ({"filters": {"word": "boat"}}, FilterError),
        ({"filters": {**BOATS, "field": "content"}}, FilterError),
    ):
        with pytest.raises(error):
            RerankSearchRetriever(searcher=searcher, **wrong)
        with pytest.raises(error):
            retriever.run(QUERY, **wrong)
        with pytest.raises(error):
            asyncio.run(retriever.run_async(QUERY, **wrong))
    for wrong in ({"first_stage": "dense"}, {"min_relevance": 0.5}):
        with pytest.raises(InvalidInputError):
            retriever.run(QUERY, **wrong)
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    with pytest.raises(ValueError, match="topk"):
        pipeline.run({"retriever": {"query": QUERY, "topk": 3}})


def test_what_to_search_is_given_once(searcher: Searcher, notes: Path):
    store = RerankSearchDocumentStore(notes)
    for wrong in (
        {},
        {"searcher": searcher, "index": "notes"},
        {"document_store": store, "index": "notes"},
        {"document_store": store, "searcher": searcher},
        {"document_store": store, "api_key": Secret.from_token("rs_x")},
        {"document_store": notes},
        {"index": 5},
        {"index": "notes", "api_key": "rs_x"},
        {"index": "notes", "api_key": Secret.from_token("rs_x")},
        {"searcher": searcher, "filter_policy": "merge"},
        {"searcher": searcher, "reranker": None},
    ):
        with pytest.raises(InvalidInputError) as raised:
            RerankSearchRetriever(**wrong)
        assert "rs_x" not in str(raised.value)


def test_a_context_has_parts_of_documents_with_numbers(
    retriever: RerankSearchRetriever, searcher: Searcher
):
    packed = pack(searcher.search(QUERY), tokens=40)
    documents = both(retriever, context_tokens=40)
    assert [each.content for each in documents] == list(packed.blocks)
    assert ids(documents) == [citation.id for citation in packed.citations]
    made = RerankSearchRetriever(searcher=searcher, context_tokens=40)
    assert both(made) == documents
    assert len(both(made, context_tokens=400)) > len(documents) > 0


def test_a_filter_that_names_an_unknown_key_is_logged(
    retriever: RerankSearchRetriever, caplog: pytest.LogCaptureFixture
):
    unknown = {"field": "meta.wrod", "operator": "==", "value": "boat"}
    with caplog.at_level(logging.WARNING):
        assert both(retriever, filters=unknown) == []
    assert "there are 'word'" in caplog.text


def test_nothing_to_find_gives_no_documents(retriever: RerankSearchRetriever):
    nowhere = {**BOATS, "value": "x"}
    assert both(retriever, "  ") == both(retriever, filters=nowhere) == []


def test_a_store_is_searched_after_writing_and_after_closing(empty: Path, tmp_path: Path):
    store = RerankSearchDocumentStore(shutil.copytree(empty, tmp_path / "index"))
    retriever = RerankSearchRetriever(store, reranker=None)
    assert both(retriever, "paths") == []
    same = [Document(id, content="join the paths", embedding=[0.5]) for id in ("a", "b")]
    store.write_documents(same)
    assert ids(both(retriever, "paths")) == ["a", "b"]
    assert both(retriever, "paths")[0].embedding == [0.5]
    store.close()
    assert ids(both(retriever, "paths")) == ["a", "b"]
    retriever.close()
    asyncio.run(retriever.close_async())
    assert ids(both(retriever, "paths")) == ["a", "b"]
    retriever.close()


def test_an_index_that_is_not_there_is_named(tmp_path: Path):
    retriever = RerankSearchRetriever(index=tmp_path / "later")
    for call in (retriever.warm_up, lambda: retriever.run(QUERY)):
        with pytest.raises(IndexNotFoundError, match="later"):
            call()


def test_a_server_that_is_down_or_asks_for_a_key_is_a_server_error(
    guarded: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    down = RerankSearchRetriever(searcher=RemoteSearcher("http://127.0.0.1:9", "x", retries=0))
    with pytest.raises(ServerError, match="serve` runs there"):
        down.run(QUERY)
    url, secret = guarded
    monkeypatch.setenv("KEY_OF_THE_SERVER", secret)
    without = RerankSearchRetriever(index=url)
    with pytest.raises(ServerError, match="api_key"):
        without.run(QUERY)
    without.close()
    retriever = RerankSearchRetriever(index=url, api_key=Secret.from_env_var("KEY_OF_THE_SERVER"))
    expected = both(retriever)
    assert expected
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    written = pipeline.dumps()
    assert "KEY_OF_THE_SERVER" in written
    assert secret not in written + repr(retriever)
    again = Pipeline.loads(written).run({"retriever": {"query": QUERY}})
    assert again["retriever"]["documents"] == expected
    copied = copy.deepcopy(retriever)
    assert both(copied) == expected
    token = RerankSearchRetriever(index=url, api_key=Secret.from_token(secret))
    assert both(token) == expected
    for write in (token.to_dict, lambda: copy.deepcopy(token)):
        with pytest.raises(ValueError, match="Cannot serialize token") as raised:
            write()
        assert secret not in str(raised.value)
    for each in (copied, token, retriever):
        each.close()


def test_a_server_that_does_not_answer_is_a_server_error(silent: RemoteSearcher):
    with pytest.raises(ServerError):
        RerankSearchRetriever(searcher=silent).run(QUERY)


def test_all_parameters_survive_a_dict(notes: Path, tiny_reranker: Path):
    arguments = {
        "index": str(notes),
        "reranker": str(tiny_reranker),
        "api_key": None,
        "filters": {"operator": "NOT", "conditions": [BOATS]},
        "filter_policy": FilterPolicy.MERGE,
        "text": "passage",
        "context_tokens": None,
        "scale_score": False,
        "top_k": 3,
        "candidates": 7,
        "first_stage": "bm25",
        "rerank": True,
        "budget_ms": 60_000.0,
        "min_relevance": None,
        "passages_per_document": 2,
        "collapse_duplicates": True,
        "instruction": None,
        "query_vector": None,
    }
    named = inspect.signature(RerankSearchRetriever.__init__).parameters
    assert {*named} == {*arguments, "self", "document_store", "searcher"}
    retriever = RerankSearchRetriever(**arguments)
    data = retriever.to_dict()
    before = copy.deepcopy(data)
    again = RerankSearchRetriever.from_dict(data)
    assert data == before
    assert again.to_dict() == data
    assert data["init_parameters"] == {
        **arguments,
        "filter_policy": "merge",
        "document_store": None,
        "searcher": None,
    }
    assert both(again) == both(retriever)
    retriever.close()
    again.close()
    packed = RerankSearchRetriever(index=notes, context_tokens=50).to_dict()
    assert packed["init_parameters"]["context_tokens"] == 50
    for least in (0.5, 0):
        kept = RerankSearchRetriever(index=notes, min_relevance=least).to_dict()
        assert kept["init_parameters"]["min_relevance"] == least


def test_a_pipeline_goes_through_yaml_as_it_is(notes: Path, tiny_reranker: Path):
    pipeline = Pipeline()
    store = RerankSearchDocumentStore(notes)
    pipeline.add_component("by_store", RerankSearchRetriever(store, reranker=tiny_reranker))
    pipeline.add_component(
        "by_path", RerankSearchRetriever(index=notes, reranker=tiny_reranker, filters=BOATS)
    )
    pipeline.add_component("joined", DocumentJoiner())
    pipeline.connect("by_store.documents", "joined.documents")
    pipeline.connect("by_path.documents", "joined.documents")
    again = Pipeline.loads(pipeline.dumps())
    assert again.to_dict()["components"] == pipeline.to_dict()["components"]
    inputs = {"by_store": {"query": QUERY}, "by_path": {"query": QUERY, "top_k": 2}}
    found = pipeline.run(inputs)["joined"]["documents"]
    assert found
    assert again.run(inputs)["joined"]["documents"] == found
    assert asyncio.run(again.run_async(inputs))["joined"]["documents"] == found
    pipeline.close()
    asyncio.run(again.close_async())


def test_objects_cannot_be_written_to_a_file(searcher: Searcher, notes: Path, reranker):
    for retriever in (
        RerankSearchRetriever(searcher=searcher),
        RerankSearchRetriever(index=notes, reranker=reranker),
        RerankSearchRetriever(RerankSearchDocumentStore(notes), reranker=reranker),
    ):
        with pytest.raises(SerializationError, match="is an object"):
            retriever.to_dict()


def test_a_copy_opens_the_index_again(
    notes: Path, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(notes.parent)
    retriever = RerankSearchRetriever(index="notes", reranker=str(tiny_reranker), top_k=2)
    expected = both(retriever)
    copied = copy.deepcopy(retriever)
    retriever.close()
    monkeypatch.chdir("/")
    assert both(copied) == expected
    copied.close()


def test_it_is_warmed_up_once(notes: Path, tiny_reranker: Path, in_threads, when_called):
    retriever = RerankSearchRetriever(index=notes, reranker=str(tiny_reranker), top_k=3)
    results, loaded = in_threads(lambda: retriever.run(QUERY)["documents"])
    again: list[object] = []
    with when_called(CrossEncoderReranker.__init__, again.append):
        retriever.warm_up()
        asyncio.run(retriever.warm_up_async())
    assert results == [retriever.run(QUERY)["documents"]] * 32
    assert (loaded, again) == (1, [])
    retriever.close()


def test_runs_at_the_same_time_find_the_same_while_the_loop_goes_on(
    retriever: RerankSearchRetriever, counted
):
    found, ticks = counted([retriever.run_async(query) for query in QUERIES])
    assert len(found) == 32
    one_by_one = [retriever.run(query)["documents"] for query in QUERIES]
    assert [ids(each["documents"]) for each in found] == [ids(each) for each in one_by_one]
    assert ticks > 10 * len(QUERIES)


def test_one_retriever_works_in_one_loop_after_another(server: Served):
    retriever = RerankSearchRetriever(index=f"{server.url}/v1/indexes/notes")
    found = [asyncio.run(retriever.run_async(QUERY)) for _ in range(3)]
    assert found[0]["documents"]
    assert found == [found[0]] * 3
    retriever.close()


def test_haystacks_retriever_of_many_queries_takes_it(retriever: RerankSearchRetriever):
    many = MultiQueryTextRetriever(retriever=retriever)
    found = many.run(queries=QUERIES[:2], retriever_kwargs={"top_k": 2})["documents"]
    assert 2 <= len(found) <= 4


def test_documents_with_the_same_text_both_survive(twins: Index):
    assert ids(both(RerankSearchRetriever(searcher=Searcher(twins, None)), "paths")) == ["a", "b"]

"""RerankSearchRanker, which is in ``haystack_integrations``."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.core.errors import SerializationError

from haystack_integrations.components.rankers.rerank_search import RerankSearchRanker
from haystack_integrations.components.retrievers.rerank_search import RerankSearchRetriever
from rerank_search import CrossEncoderReranker, InvalidInputError, ModelNotFoundError, RerankError
from tests.plugins.conftest import QUERIES, QUERY

TEXTS = ["bread in the oven", "join the paths", None, "join the paths", "a boat on the river"]


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(str(n), content=text, meta={"source": f"file {n}", "of": {"tags": ["ü", None]}})
        for n, text in enumerate(TEXTS)
    ]


class Lengths:
    """A reranker that prefers long texts, with scores as NumPy has them."""

    name = "lengths"

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def both(
    ranker: RerankSearchRanker, documents: list[Document], query: str = QUERY, **inputs: Any
) -> list[Document]:
    """The same documents from both methods."""
    found = ranker.run(query, documents, **inputs)
    assert asyncio.run(ranker.run_async(query, documents, **inputs)) == found
    return found["documents"]


def test_the_best_documents_come_first_with_ids_metadata_and_scores(
    documents: list[Document], reranker: CrossEncoderReranker
):
    logits = reranker.score([(QUERY, text or "") for text in TEXTS]).tolist()
    order = sorted(range(len(TEXTS)), key=lambda place: (-logits[place], place))
    ranker = RerankSearchRanker(reranker)
    found = both(ranker, documents)
    assert [document.id for document in found] == [str(place) for place in order]
    raw = both(ranker, documents, scale_score=False)
    for scaled, document, place in zip(found, raw, order, strict=True):
        assert type(scaled.score) is type(document.score) is float
        assert 0 <= scaled.score <= 1
        assert document.score == pytest.approx(logits[place])
        assert document.to_dict() == {**documents[place].to_dict(), "score": document.score}
        assert json.dumps(document.to_dict())
    assert len(both(ranker, documents, top_k=2)) == 2
    assert len(both(RerankSearchRanker(reranker, top_k=2), documents)) == 2
    without = RerankSearchRanker(reranker, scale_score=False)
    assert both(without, documents) == raw
    assert both(without, documents, scale_score=True) == found


def test_the_input_is_not_changed(documents: list[Document], reranker: CrossEncoderReranker):
    before = copy.deepcopy(documents)
    for _ in range(2):
        both(RerankSearchRanker(reranker), documents)
    assert documents == before


def test_of_an_id_given_twice_the_document_with_the_highest_score_is_ranked():
    documents = [
        Document("a", content="long text", score=None),
        Document("b", content="short"),
        Document("a", content="longest text", score=0.2),
        Document("a", content="longer text", score=0.1),
    ]
    found = both(RerankSearchRanker(Lengths()), documents)
    assert [(each.id, each.content) for each in found] == [("a", "longest text"), ("b", "short")]


def test_no_documents_give_none_and_load_nothing(documents: list[Document]):
    ranker = RerankSearchRanker("no/model")
    assert both(ranker, []) == both(ranker, documents, "  ") == []
    for load in (ranker.warm_up, lambda: ranker.run(QUERY, documents)):
        with pytest.raises(ModelNotFoundError, match="no/model"):
            load()
    with pytest.raises(ModelNotFoundError):
        asyncio.run(ranker.warm_up_async())


def test_values_of_metadata_are_read_before_the_content():
    documents = [
        Document("a", content="text", meta={"title": "A long title", "page": 5}),
        Document("b", content="the text", meta={"title": None}),
        Document("c", meta={"title": ""}),
    ]
    ranker = RerankSearchRanker(
        Lengths(),
        meta_fields_to_embed=["title", "page", "absent"],
        embedding_separator=" | ",
        scale_score=False,
    )
    scores = {each.id: each.score for each in both(ranker, documents)}
    assert scores == {"a": len("A long title | 5 | text"), "b": len("the text"), "c": 0}


def test_a_limit_acts_on_probabilities_and_may_leave_none(
    documents: list[Document], calibrated: Path
):
    ranker = RerankSearchRanker(calibrated)
    found = both(ranker, documents)
    least = found[1].score
    assert both(ranker, documents, min_relevance=least) == [
        each for each in found if each.score >= least
    ]
    assert both(RerankSearchRanker(calibrated, min_relevance=1.0), documents[:1]) == []
    with pytest.raises(InvalidInputError, match="calibrate"):
        RerankSearchRanker(Lengths()).run(QUERY, documents, min_relevance=0.5)


def test_invalid_arguments_are_refused(documents: list[Document], two_labels: Path):
    for wrong in (
        {"top_k": 0},
        {"top_k": True},
        {"min_relevance": 2},
        {"scale_score": "yes"},
        {"reranker": 5},
        {"meta_fields_to_embed": "title"},
        {"meta_fields_to_embed": [1]},
        {"embedding_separator": None},
    ):
        with pytest.raises(InvalidInputError):
            RerankSearchRanker(**wrong)
    with pytest.raises(TypeError, match="topk"):
        RerankSearchRanker(topk=3)
    ranker = RerankSearchRanker(Lengths())
    for wrong in ({"top_k": 0}, {"min_relevance": -1}, {"scale_score": 1}):
        with pytest.raises(InvalidInputError):
            ranker.run(QUERY, documents, **wrong)
    for texts in (["text"], "text", None, documents[0]):
        with pytest.raises(InvalidInputError):
            ranker.run(QUERY, texts)
    with pytest.raises(InvalidInputError):
        ranker.run(None, documents)
    with pytest.raises(RerankError, match="has 2"):
        RerankSearchRanker(two_labels).run(QUERY, documents)


def test_all_parameters_survive_a_dict(documents: list[Document], tiny_reranker: Path):
    arguments = {
        "reranker": str(tiny_reranker),
        "top_k": 3,
        "min_relevance": None,
        "scale_score": False,
        "meta_fields_to_embed": ["source"],
        "embedding_separator": " ",
        "instruction": None,
    }
    named = inspect.signature(RerankSearchRanker.__init__).parameters
    assert {*named} == {"self", *arguments}
    ranker = RerankSearchRanker(**arguments)
    data = ranker.to_dict()
    assert data["init_parameters"] == arguments
    again = RerankSearchRanker.from_dict(data)
    assert again.to_dict() == data
    assert both(again, documents) == both(ranker, documents)
    limited = RerankSearchRanker("name", min_relevance=0.5).to_dict()
    assert limited["init_parameters"]["min_relevance"] == 0.5
    with pytest.raises(SerializationError, match="is an object"):
        RerankSearchRanker(Lengths()).to_dict()


def test_a_copy_loads_the_model_again(documents: list[Document], tiny_reranker: Path):
    ranker = RerankSearchRanker(tiny_reranker, top_k=2)
    expected = both(ranker, documents)
    assert both(copy.deepcopy(ranker), documents) == expected


def test_both_stages_as_two_components_in_yaml(notes: Path, tiny_reranker: Path):
    pipeline = Pipeline()
    pipeline.add_component("first", RerankSearchRetriever(index=notes, reranker=None, top_k=20))
    pipeline.add_component("second", RerankSearchRanker(tiny_reranker, top_k=2))
    pipeline.connect("first.documents", "second.documents")
    again = Pipeline.loads(pipeline.dumps())
    assert again.dumps() == pipeline.dumps()
    inputs = {"first": {"query": QUERY}, "second": {"query": QUERY}}
    found = pipeline.run(inputs)["second"]["documents"]
    assert len(found) == 2
    assert again.run(inputs)["second"]["documents"] == found
    assert asyncio.run(again.run_async(inputs))["second"]["documents"] == found
    pipeline.close()
    again.close()


def test_threads_that_rank_first_together_load_once(
    documents: list[Document], tiny_reranker: Path, in_threads, when_called
):
    ranker = RerankSearchRanker(tiny_reranker)
    results, loaded = in_threads(lambda: ranker.run(QUERY, documents)["documents"])
    again: list[object] = []
    with when_called(CrossEncoderReranker.__init__, again.append):
        ranker.warm_up()
        asyncio.run(ranker.warm_up_async())
    assert results == [both(ranker, documents)] * 32
    assert (loaded, again) == (1, [])


def test_runs_at_the_same_time_rank_the_same_while_the_loop_goes_on(
    documents: list[Document], reranker: CrossEncoderReranker, counted
):
    ranker = RerankSearchRanker(reranker)
    found, ticks = counted([ranker.run_async(query, documents) for query in QUERIES])
    assert len(found) == 32
    for query, each in zip(QUERIES, found, strict=True):
        expected = ranker.run(query, documents)["documents"]
        assert [document.id for document in each["documents"]] == [
            document.id for document in expected
        ]
    assert ticks > 10 * len(QUERIES)

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path

import numpy as np
import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from pydantic import ValidationError

from rerank_search import (
    CrossEncoderReranker,
    InvalidInputError,
    ModelNotFoundError,
    RerankError,
    Searcher,
)
from rerank_search.plugins.langchain import RerankSearchCompressor, RerankSearchRetriever
from tests.plugins.conftest import QUERIES, QUERY

TEXTS = ["bread in the oven", "join the paths", "", "join the paths", "a boat on the river"]


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(text, id=str(i), metadata={"source": f"file {i}", "of": {"tags": ["ü", None]}})
        for i, text in enumerate(TEXTS)
    ]


class Lengths:
    """A reranker that prefers long texts, with scores as NumPy has them."""

    name = "lengths"

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def both(compressor: RerankSearchCompressor, documents, query: str = QUERY) -> list[Document]:
    """The same documents from both methods."""
    found = compressor.compress_documents(documents, query)
    assert asyncio.run(compressor.acompress_documents(documents, query)) == found
    return found


def test_the_best_documents_come_first_with_ids_metadata_and_scores(
    documents: list[Document], reranker: CrossEncoderReranker
):
    logits = reranker.score([(QUERY, text) for text in TEXTS]).tolist()
    order = sorted(range(len(TEXTS)), key=lambda place: (-logits[place], place))
    found = both(RerankSearchCompressor(reranker=reranker, top_n=None), documents)
    assert [document.id for document in found] == [str(place) for place in order]
    for document, place in zip(found, order, strict=True):
        score = document.metadata.pop("relevance_score")
        assert type(score) is float
        assert 0 <= score <= 1
        assert document == documents[place]
    assert len(both(RerankSearchCompressor(reranker=reranker), documents)) == 3
    assert len(both(RerankSearchCompressor(reranker=reranker, top_k=1), documents)) == 1
    assert json.dumps([document.metadata for document in found])


def test_the_input_is_not_changed(documents: list[Document], reranker: CrossEncoderReranker):
    before = copy.deepcopy(documents)
    compressor = RerankSearchCompressor(reranker=reranker)
    for _ in range(2):
        both(compressor, documents)
    assert documents == before


def test_a_document_of_another_class_stays_one(reranker: CrossEncoderReranker):
    class Note(Document):
        author: str = ""

    [found] = both(RerankSearchCompressor(reranker=reranker), [Note("join", author="me")])
    assert (type(found), found.author) == (Note, "me")


def test_no_documents_give_none_and_load_nothing(documents: list[Document]):
    compressor = RerankSearchCompressor(reranker="no/model")
    assert both(compressor, []) == both(compressor, documents, "  ") == []
    with pytest.raises(ModelNotFoundError, match="no/model"):
        compressor.compress_documents(documents, QUERY)


def test_a_limit_acts_on_probabilities_and_may_leave_none(
    documents: list[Document], calibrated: Path
):
    found = both(RerankSearchCompressor(reranker=calibrated, top_n=None), documents)
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    kept = both(RerankSearchCompressor(reranker=calibrated, min_relevance=scores[1]), documents)
    assert [document.metadata["relevance_score"] for document in kept] == [
        score for score in scores if score >= scores[1]
    ]
    worst = documents[int(str(found[-1].id))]
    assert both(RerankSearchCompressor(reranker=calibrated, min_relevance=1.0), [worst]) == []
    with pytest.raises(InvalidInputError, match="calibrate"):
        RerankSearchCompressor(reranker=Lengths(), min_relevance=0.5).compress_documents(
            documents, QUERY
        )


def test_invalid_arguments_are_refused(documents: list[Document], two_labels: Path):
    for wrong in (
        {"top_n": 0},
        {"top_n": True},
        {"top_n": 2, "top_k": 2},
        {"min_relevance": 2},
        {"topn": 2},
        {"reranker": 5},
    ):
        with pytest.raises(ValidationError):
            RerankSearchCompressor(**wrong)
    with pytest.raises(RerankError, match="has 2"):
        RerankSearchCompressor(reranker=two_labels).compress_documents(documents, QUERY)


@pytest.mark.parametrize("wrong", [None, 5, "text", b"text", [None], ["text"], {"a": "text"}])
def test_what_are_no_documents_is_refused(wrong):
    compressor = RerankSearchCompressor(reranker=Lengths())
    with pytest.raises(InvalidInputError, match=r"documents.* of LangChain"):
        compressor.compress_documents(wrong, QUERY)
    with pytest.raises(InvalidInputError, match=r"documents.* of LangChain"):
        asyncio.run(compressor.acompress_documents(wrong, QUERY))


def test_a_copy_loads_the_model_again(documents: list[Document], tiny_reranker: Path):
    compressor = RerankSearchCompressor(reranker=tiny_reranker, top_n=2)
    found = both(compressor, documents)
    assert both(copy.deepcopy(compressor), documents) == found


def test_it_compresses_what_a_retriever_finds(searcher: Searcher, reranker: CrossEncoderReranker):
    first = RerankSearchRetriever(searcher=searcher, rerank=False, k=20)
    both_stages = ContextualCompressionRetriever(
        base_compressor=RerankSearchCompressor(reranker=reranker, top_n=2), base_retriever=first
    )
    found = both_stages.invoke(QUERY)
    assert len(found) == 2
    assert [each.id for each in asyncio.run(both_stages.ainvoke(QUERY))] == [
        each.id for each in found
    ]


def test_calls_at_the_same_time_rank_the_same_while_the_loop_goes_on(
    documents: list[Document], reranker: CrossEncoderReranker, counted
):
    compressor = RerankSearchCompressor(reranker=reranker)
    expected = [compressor.compress_documents(documents, query) for query in QUERIES]
    found, ticks = counted([compressor.acompress_documents(documents, query) for query in QUERIES])
    assert found == expected
    assert ticks > 10 * len(QUERIES)

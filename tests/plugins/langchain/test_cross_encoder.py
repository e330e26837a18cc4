from __future__ import annotations

import copy
from pathlib import Path

import pytest
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker as Theirs
from langchain_core.documents import Document

from rerank_search import CrossEncoderReranker, InvalidInputError, RerankError, RerankSearchError
from rerank_search.plugins.langchain import RerankSearchCrossEncoder

PAIRS = [("join the paths", "a path"), ("join the paths", "bread"), ("join", "")]


def test_scores_are_the_logits_as_floats(reranker: CrossEncoderReranker):
    scores = RerankSearchCrossEncoder(reranker).score(PAIRS)
    assert scores == pytest.approx(reranker.score(PAIRS).tolist())
    assert {type(score) for score in scores} == {float}


def test_no_pairs_load_nothing():
    assert RerankSearchCrossEncoder("no/model").score([]) == []


def test_a_model_with_two_labels_is_refused(two_labels: Path):
    with pytest.raises(RerankError, match=r"needs a model with one label.* has 2"):
        RerankSearchCrossEncoder(str(two_labels)).score(PAIRS)
    with pytest.raises(InvalidInputError, match="reranker=5"):
        RerankSearchCrossEncoder(5)


@pytest.mark.parametrize("wrong", [None, 5, "ab", [None], [("a",)], [("a", None)], {"a": "b"}])
def test_what_are_no_pairs_is_refused(reranker: CrossEncoderReranker, wrong):
    with pytest.raises(RerankSearchError, match="pair"):
        RerankSearchCrossEncoder(reranker).score(wrong)


def test_it_works_in_langchains_own_reranker(reranker: CrossEncoderReranker, tiny_reranker: Path):
    documents = [Document(text) for _, text in PAIRS]
    model = RerankSearchCrossEncoder(str(tiny_reranker))
    found = Theirs(model=model, top_n=2).compress_documents(documents, "join the paths")
    scores = reranker.score([("join the paths", each.page_content) for each in documents])
    best = sorted(zip(scores.tolist(), documents, strict=True), key=lambda each: -each[0])
    assert [each.page_content for each in found] == [each.page_content for _, each in best[:2]]
    assert copy.deepcopy(model).score(PAIRS) == pytest.approx(model.score(PAIRS))
    assert str(tiny_reranker) in repr(model)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rerank_search import Document, Hit, Index, InvalidInputError
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.retrieval.memory import MemoryRetriever
from rerank_search.testing import (
    ConformanceError,
    check_reranker,
    check_retriever,
    check_searchable,
)

WORDS = ["boat", "river", "bread", "oven", "snow", "train"]
DOCUMENTS = [
    Document(f"{i:02}", f"the {WORDS[i % 6]} and the {WORDS[i % 5]}", metadata={"even": i % 2 == 0})
    for i in range(24)
]
QUERIES = ["the boat", "bread oven", "snow"]


def test_the_cross_encoder_conforms(tiny_reranker: Path):
    check_reranker(CrossEncoderReranker(tiny_reranker, device="cpu"))


@pytest.fixture(scope="module")
def index(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory):
    with Index.create(
        tmp_path_factory.mktemp("testing") / "index", encoder=str(tiny_encoder)
    ) as index:
        index.add(DOCUMENTS)
        yield index


@pytest.mark.parametrize("name", ["bm25", "dense", "hybrid"])
def test_every_first_stage_conforms(index, name):
    check_retriever(
        index.retriever(name),
        QUERIES,
        documents=len(DOCUMENTS),
        filter={"even": True},
        allows=lambda id: int(id) % 2 == 0,
    )


def test_an_index_conforms(index):
    check_searchable(
        index,
        QUERIES,
        documents=len(DOCUMENTS),
        filter={"even": True},
        allows=lambda id: int(id) % 2 == 0,
    )


class Forgetful:
    """An index with one method that loses its result."""

    def __init__(self, index, **replaced):
        self.first_stages = index.first_stages
        self.retriever, self.documents = index.retriever, index.documents
        self.stage_scores, self.filter_warnings = index.stage_scores, index.filter_warnings
        vars(self).update(replaced)


@pytest.mark.parametrize(
    ("replaced", "rule"),
    [
        ({"first_stages": ()}, "at least one first stage"),
        ({"documents": lambda ids: []}, "one entry for each id"),
        ({"documents": lambda ids: [None] * len(ids)}, "which was found"),
        ({"stage_scores": lambda queries, rankings: [[] for _ in rankings]}, "keep the hits"),
    ],
)
def test_a_searchable_that_breaks_a_rule_is_told_which(index, replaced, rule):
    with pytest.raises(ConformanceError, match=rule):
        check_searchable(Forgetful(index, **replaced), QUERIES, documents=len(DOCUMENTS))


def test_a_first_stage_under_another_name_breaks_a_rule(index):
    with pytest.raises(ConformanceError, match="unknown name"):
        check_searchable(
            Forgetful(index, retriever=lambda name: index.retriever("bm25")),
            QUERIES,
            documents=len(DOCUMENTS),
        )


def test_the_retriever_in_memory_conforms():
    check_retriever(
        MemoryRetriever([document.text for document in DOCUMENTS]),
        QUERIES,
        documents=len(DOCUMENTS),
    )


def _reranker(score):
    class Own:
        name = "own"

        def score(self, pairs):
            return score(pairs)

    return Own()


@pytest.mark.parametrize(
    ("score", "rule"),
    [
        (lambda pairs: [0.0] * len(pairs), "array"),
        (lambda pairs: np.zeros(len(pairs)), "float32"),
        (lambda pairs: np.zeros((len(pairs), 1), np.float32), "shape"),
        (lambda pairs: np.full(len(pairs), np.nan, np.float32), "finite"),
        (lambda pairs: np.arange(len(pairs), dtype=np.float32), "follow their pairs"),
        (lambda pairs: np.full(len(pairs), len(pairs), np.float32), "depend on the batch"),
    ],
)
def test_a_reranker_that_breaks_a_rule_is_told_which(score, rule):
    with pytest.raises(ConformanceError, match=rule):
        check_reranker(_reranker(score))


class Own:
    """A retriever that finds every document for every query."""

    name = "own"

    def ranking(self, k):
        return [Hit(f"{i:02}", 1.0, i + 1) for i in range(24)][:k]

    def retrieve(self, queries, k, *, filter=None):
        if k < 1:
            raise InvalidInputError("k")
        return [self.ranking(k) for _ in queries]


class Reversed(Own):
    def ranking(self, k):
        return super().ranking(k)[::-1]


class Unsorted(Own):
    def ranking(self, k):
        return [Hit(hit.id, float(hit.rank), hit.rank) for hit in super().ranking(k)]


class Repeating(Own):
    def ranking(self, k):
        return [Hit("00", 1.0, rank + 1) for rank in range(min(k, 24))]


class Lenient(Own):
    def retrieve(self, queries, k, *, filter=None):
        return [self.ranking(max(k, 0)) for _ in queries]


@pytest.mark.parametrize(
    ("retriever", "rule"),
    [
        (Reversed(), "ranks"),
        (Unsorted(), "score descending"),
        (Repeating(), "repeat"),
        (Lenient(), "k=0"),
        (Own(), "hits must match the filter"),
    ],
)
def test_a_retriever_that_breaks_a_rule_is_told_which(retriever, rule):
    with pytest.raises(ConformanceError, match=rule):
        check_retriever(
            retriever, QUERIES, documents=24, filter={"even": True}, allows=lambda id: id > "05"
        )

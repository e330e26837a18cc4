from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from rerank_search import Document, Fusion, InvalidFilterError, InvalidInputError, Searcher
from rerank_search.queries import checked_k, query_list
from rerank_search.reranking.fusion import Weights
from rerank_search.retrieval.memory import MemoryRetriever
from rerank_search.searchable import Searchable, SingleRetriever, searchable
from rerank_search.testing import check_searchable

DOCUMENTS = [
    Document("join", "join the paths of files with a path", "os path join", {"kind": "path"}),
    Document("split", "split the path into a folder and a file", "", {"kind": "path"}),
    Document("read", "read the lines of a text file", "read lines", {"kind": "file"}),
    Document("bread", "the bread is in the oven of the kitchen", "bread", {"kind": "food"}),
]
QUERY = "join a path to a file"


class Shelf:
    """A retriever as a user would write it: BM25 over documents in memory, with filters."""

    def __init__(self, name="shelf", documents=DOCUMENTS):
        self.name = name
        self._documents = documents

    def __repr__(self):
        return f"Shelf({self.name!r})"

    def retrieve(self, queries, k, *, filter=None):
        queries, k = query_list(queries), checked_k(k)
        if filter is not None and set(filter) != {"kind"}:
            raise InvalidFilterError(f"the filter {filter} is not supported: give a kind")
        chosen = [d for d in self._documents if filter is None or d.metadata == filter]
        chosen.sort(key=lambda document: document.id)
        found = MemoryRetriever([document.text for document in chosen]).retrieve(queries, k)
        return [
            [
                replace(
                    hit,
                    id=chosen[int(hit.id)].id,
                    document=chosen[int(hit.id)],
                    stage_scores={},
                )
                for hit in hits
            ]
            for hits in found
        ]


class Lengths:
    """A reranker that prefers short texts."""

    name = "lengths"

    def score(self, pairs):
        return np.array([-len(text) for _, text in pairs], dtype=np.float32)


class Failing:
    name = "failing"

    def score(self, pairs):
        raise ConnectionError("the service is down")


def _ids(response):
    return [hit.id for hit in response.hits]


def test_a_retriever_is_searched_in_two_stages():
    response = Searcher(Shelf(), Lengths()).search(QUERY, top_k=2)
    assert _ids(response) == ["split", "read"]
    assert (response.first_stage, response.candidates, response.reranked) == ("shelf", 3, True)
    assert response.hits[0].document is DOCUMENTS[1]
    assert [hit.rank for hit in response.hits] == [1, 2]


def test_without_a_reranker_its_ranking_is_returned():
    response = Searcher(Shelf(), None).search(QUERY, top_k=2)
    [expected] = Shelf().retrieve([QUERY], 2)
    assert [(h.id, h.score) for h in response.hits] == [(h.id, h.score) for h in expected]


def test_its_filter_its_batches_and_its_failure_policy_are_those_of_an_index():
    searcher = Searcher(Shelf(), Failing(), on_rerank_error="first_stage")
    responses = searcher.search_batch([QUERY, " ", "bread"], filter={"kind": "path"})
    assert [sorted(_ids(response)) for response in responses] == [["join", "split"], [], []]
    assert "the service is down" in responses[0].degraded
    assert responses[0].warnings == ()
    with pytest.raises(InvalidFilterError):
        searcher.search(QUERY, filter={"size": 1})


def test_a_budget_that_is_used_up_leaves_its_ranking():
    response = Searcher(Shelf(), Lengths()).search(QUERY, budget_ms=1e-6)
    assert not response.reranked
    assert _ids(response) == _ids(Searcher(Shelf(), None).search(QUERY))


def test_a_fusion_weighs_its_score_under_its_name_and_the_repr_says_so():
    fusion = Fusion([Weights(0.0, {"rerank": 1.0}), Weights(0.0, {"rerank": 0.1, "shelf": 9.0})])
    searcher = Searcher(Shelf(), Lengths(), fusion=fusion)
    [first] = Shelf().retrieve([QUERY], 9)
    for hit in searcher.search(QUERY).hits:
        [own] = [each.score for each in first if each.id == hit.id]
        assert hit.stage_scores["shelf"] == own
        assert hit.score == pytest.approx(0.1 * hit.stage_scores["rerank"] + 9.0 * own)
    assert repr(searcher) == "Searcher(Shelf('shelf'), 'lengths', fusion=['rerank', 'shelf'])"


def test_a_fusion_without_weights_for_its_name_uses_those_of_the_reranker_alone():
    fusion = Fusion([Weights(0.0, {"rerank": 1.0}), Weights(0.0, {"rerank": 1.0, "bm25:z": 9.0})])
    searcher = Searcher(Shelf(), Lengths(), fusion=fusion)
    assert all(hit.score == hit.stage_scores["rerank"] for hit in searcher.search(QUERY).hits)
    assert repr(searcher).endswith("fusion=['rerank'])")


def test_another_first_stage_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="no first stage 'bm25': use 'shelf', the only one"):
        Searcher(Shelf(), None).search(QUERY, first_stage="bm25")


def test_hits_without_documents_are_refused():
    with pytest.raises(InvalidInputError, match="returned the hit '0' without a document"):
        Searcher(MemoryRetriever(["a path"]), None).search("path")


def test_a_searcher_over_a_retriever_can_be_pickled():
    searcher = pickle.loads(pickle.dumps(Searcher(Shelf(), Lengths())))  # noqa: S301
    assert _ids(searcher.search(QUERY)) == _ids(Searcher(Shelf(), Lengths()).search(QUERY))


def test_a_retriever_conforms_as_a_searchable():
    source = searchable(Shelf())
    assert isinstance(source, Searchable)
    check_searchable(
        source,
        [QUERY, "bread oven"],
        documents=len(DOCUMENTS),
        filter={"kind": "path"},
        allows=lambda id: id in ("join", "split"),
    )


def test_what_can_be_searched_already_is_itself():
    source = SingleRetriever(Shelf())
    assert searchable(source) is source

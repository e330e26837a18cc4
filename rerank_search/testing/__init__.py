"""Conformance checks for your own retrievers, rerankers and stores, to be called from a test.

    def test_my_reranker_conforms():
        check_reranker(MyReranker())

Each check raises ConformanceError, an AssertionError, that names the broken rule.
"""

from rerank_search.testing.reranking import check_reranker
from rerank_search.testing.rules import ConformanceError
from rerank_search.testing.searching import check_retriever, check_searchable
from rerank_search.testing.stores import check_store

__all__ = [
    "ConformanceError",
    "check_reranker",
    "check_retriever",
    "check_searchable",
    "check_store",
]

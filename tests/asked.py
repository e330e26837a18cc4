"""The terms by which an index of an analyzer searches a query."""

from __future__ import annotations

from typing import Any

from rerank_search.retrieval.analysis import Words, checked_stop_words


def query_terms(analyzer: str, query: str, stop_words: Any = None) -> list[str]:
    words = Words(analyzer, stop_words=checked_stop_words(analyzer, stop_words))
    return words.of_query(query, lambda term: 0).terms

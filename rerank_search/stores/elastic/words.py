"""The words of a query, and how the engines find words in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rerank_search.stores.elastic.dialects import Json

ANALYZER = "rerank_search"
"""The name of the analyzer of a new index."""

MOST_WORDS = 1_000
"""Most words of a query, below the number of clauses that the engines take."""

_WORD = re.compile(
    r"[^\W\u0e00-\u0eff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+|\S"
)
"""What is one word to their standard tokenizer, or less: characters of Chinese, Japanese and Thai,
and signs, each count as a word."""


def words_of(query: str) -> str:
    """The query; if it may have too many words, the first of them, each one once."""
    if len(query) <= MOST_WORDS or len(words := _WORD.findall(query)) <= MOST_WORDS:
        return query
    return " ".join(list(dict.fromkeys(words))[:MOST_WORDS])


def analysis(language: str) -> Json:
    """The settings of the analyzer of a new index, with the stemmer of a language."""
    stemmer = f"{ANALYZER}_stemmer"
    return {
        "filter": {stemmer: {"type": "stemmer", "language": language}},
        "analyzer": {
            ANALYZER: {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", stemmer]}
        },
    }


def ranks(field: Mapping[str, Any]) -> bool:
    """Whether the engine ranks by BM25 by a field with this mapping."""
    return (
        field.get("type") == "text"
        and field.get("index", True) is not False
        and field.get("similarity") in (None, "BM25")
    )

"""The full-text index of a table, by which BM25 ranks."""

from __future__ import annotations

from typing import Any

from lancedb.index import FTS, lang_mapping

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

MOST_UNINDEXED = 100
"""Rows that a text index may lack before a write adds them to it: a search reads those one by one,
a thousand in about a quarter of a second."""


def text_index(language: str) -> FTS:
    """An index with the stemmer of a language. Raises InvalidInputError for an unknown one."""
    name = language.capitalize()
    if name not in lang_mapping.values():
        raise InvalidInputError(
            f"language={shown(language)} has no stemmer in LanceDB: use one of "
            f"{', '.join(sorted(lang_mapping.values()))}"
        )
    return FTS(language=name, max_token_length=None, remove_stop_words=False, ascii_folding=False)


def index_new_rows(table: Any, column: str) -> None:
    """Add rows to the text index of a column once there are many that it lacks."""
    for index in table.list_indices():
        if index.columns == [column] and index.num_unindexed_rows > MOST_UNINDEXED:
            table.optimize()

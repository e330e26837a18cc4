"""What makes terms of words, by the name of their analyzer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rerank_search.retrieval.analysis.known import known
from rerank_search.retrieval.analysis.version import ANALYSIS

if TYPE_CHECKING:
    import tantivy


@cache
def analyzer(name: str, version: int = ANALYSIS) -> tantivy.TextAnalyzer:
    """What makes terms of prepared words, in the analyzer called ``name``.

    Raises InvalidInputError for an unknown name.
    """
    import tantivy

    words = tantivy.Tokenizer.simple() if version == 1 else tantivy.Tokenizer.whitespace()
    return known(name).at(version).filtered(words)

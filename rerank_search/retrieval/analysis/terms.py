"""The terms of documents, by the name of their analyzer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rerank_search.retrieval.analysis.known import known
from rerank_search.retrieval.analysis.version import ANALYSIS
from rerank_search.retrieval.folding import nfkc

if TYPE_CHECKING:
    import tantivy


@cache
def analyzer(name: str, version: int = ANALYSIS) -> tantivy.TextAnalyzer:
    """What makes terms of texts from ``prepared``, in the analyzer called ``name``.

    Raises InvalidInputError for an unknown name.
    """
    import tantivy

    words = tantivy.Tokenizer.simple() if version == 1 else tantivy.Tokenizer.whitespace()
    return known(name).filtered(words)


def prepared(name: str, text: str, version: int = ANALYSIS) -> str:
    """The words of a document, for ``analyzer``, so that all spellings of a word become one."""
    return nfkc(text) if version == 1 else known(name).prepared(text)


def terms(name: str, text: str, version: int = ANALYSIS) -> list[str]:
    """The terms of a document in order, with repetitions, by the analyzer called ``name``."""
    return analyzer(name, version).analyze(prepared(name, text, version))

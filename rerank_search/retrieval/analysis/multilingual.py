"""Words of any language, for texts whose language is not known: the analyzer ``multilingual``."""

from __future__ import annotations

from typing import Literal

from rerank_search.retrieval.analysis import grams
from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.folding import Folding


def in_any_script(
    name: str,
    folding: Folding,
    *,
    stemmer: str | None = None,
    ascii: Literal["after", "never"] = "never",
) -> Analyzer:
    """An analyzer that finds words in scripts with spaces and without."""
    return Analyzer(
        name,
        prepared=lambda text: grams.of_document(folding(text)),
        asked=lambda text: grams.of_query(folding(text)),
        stemmer=stemmer,
        ascii=ascii,
    )


MULTILINGUAL = in_any_script("multilingual", Folding())
"""Words without accents, not stemmed; n-grams where words have no spaces between them."""

"""Words for BM25: one definition of an analyzer for documents and for queries."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from rerank_search.errors import InvalidInputError

if TYPE_CHECKING:
    import tantivy

ANALYZERS = ("english", "plain")
"""``plain``: runs of letters and digits, lower case, without accents; ``english``: stemmed too."""

LONGEST_TERM = 255
"""Longer runs (base64, hashes joined together) are left out; in bytes of UTF-8."""


@cache
def analyzer(name: str) -> tantivy.TextAnalyzer:
    """The analyzer called ``name``. Raises InvalidInputError for an unknown name."""
    import tantivy

    if name not in ANALYZERS:
        raise InvalidInputError(
            f"There is no analyzer {name!r}: choose one of {', '.join(ANALYZERS)}."
        )
    builder = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(LONGEST_TERM))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
    )
    if name == "english":
        builder = builder.filter(tantivy.Filter.stemmer("english"))
    return builder.build()


def composed(text: str) -> str:
    """``text`` in NFKC, so that both spellings of an accented letter are one word."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def terms(name: str, text: str) -> list[str]:
    """The terms of ``text`` in order, with repetitions, by the analyzer called ``name``."""
    return analyzer(name).analyze(composed(text))

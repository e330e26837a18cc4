"""Words for BM25: one definition of an analyzer for documents and for queries."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.errors import IndexFormatError, InvalidInputError
from rerank_search.retrieval.folding import folded, nfkc
from rerank_search.retrieval.state import StateFile

if TYPE_CHECKING:
    import tantivy

ANALYZERS = ("english", "plain")
"""``plain``: runs of letters and digits, lower case, without accents; ``english``: stemmed too."""

ANALYSIS = 2
"""The version of that definition which a new index has, and records.

1 cut words at every mark and kept the accents that tantivy doesn't know; 2 is ``folding``.
"""

LONGEST_TERM = 255
"""Longer runs (base64, hashes joined together) are left out; in bytes of UTF-8."""


@cache
def analyzer(name: str, version: int = ANALYSIS) -> tantivy.TextAnalyzer:
    """The analyzer called ``name``, for ``prepared`` texts.

    Raises InvalidInputError for an unknown name.
    """
    import tantivy

    if name not in ANALYZERS:
        raise InvalidInputError(
            f"There is no analyzer {name!r}: choose one of {', '.join(ANALYZERS)}."
        )
    words = tantivy.Tokenizer.simple() if version == 1 else tantivy.Tokenizer.whitespace()
    builder = (
        tantivy.TextAnalyzerBuilder(words)
        .filter(tantivy.Filter.remove_long(LONGEST_TERM))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
    )
    if name == "english":
        builder = builder.filter(tantivy.Filter.stemmer("english"))
    return builder.build()


def prepared(text: str, version: int = ANALYSIS) -> str:
    """``text`` as the analyzer takes it, so that all spellings of a word are one."""
    return nfkc(text) if version == 1 else folded(text)


def terms(name: str, text: str, version: int = ANALYSIS) -> list[str]:
    """The terms of ``text`` in order, with repetitions, by the analyzer called ``name``."""
    return analyzer(name, version).analyze(prepared(text, version))


def recorded_analysis(directory: Path) -> int:
    """The version that the postings in ``directory`` were made with.

    Raises IndexFormatError for one of a newer version of this package, IndexCorruptedError.
    """
    version = StateFile(directory).read().get("analysis", 1)
    if not isinstance(version, int) or not 1 <= version <= ANALYSIS:
        raise IndexFormatError(
            f"the words in {directory} were found by version {version!r} of the analysis, and this "
            f"version of rerank-search has up to {ANALYSIS}: upgrade it by "
            "`pip install -U rerank-search`"
        )
    return version


def outdated(version: int) -> list[str]:
    """What ``verify`` says of postings that a rebuild would make differently."""
    if version == ANALYSIS:
        return []
    return [
        "bm25 finds words as an earlier version did, which cut them at some accents, vowel signs "
        "and soft hyphens: run `rerank-search index rebuild` to find all spellings of a word; "
        "until then searches rank as before"
    ]

"""Words for BM25: the analyzers, which are the same for documents and queries."""

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
"""Names of analyzers. ``plain``: runs of letters and digits, in lower case, without accents;
``english``: the same, stemmed."""

ANALYSIS = 2
"""Version of the analyzers that a new index uses and records.

Version 1 cut words at every mark and kept accents that tantivy does not know; 2 is ``folding``.
"""

LONGEST_TERM = 255
"""Most bytes of a term in UTF-8; longer runs (base64, joined hashes) are not indexed."""


@cache
def analyzer(name: str, version: int = ANALYSIS) -> tantivy.TextAnalyzer:
    """The analyzer called ``name``, for texts from ``prepared``.

    Raises InvalidInputError for an unknown name.
    """
    import tantivy

    if name not in ANALYZERS:
        raise InvalidInputError(
            f"there is no analyzer {name!r}: choose one of {', '.join(ANALYZERS)}"
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
    """``text`` prepared for the analyzer, so that all spellings of a word become one."""
    return nfkc(text) if version == 1 else folded(text)


def terms(name: str, text: str, version: int = ANALYSIS) -> list[str]:
    """The terms of ``text`` in order, with repetitions, by the analyzer called ``name``."""
    return analyzer(name, version).analyze(prepared(text, version))


def recorded_analysis(directory: Path) -> int:
    """The version that the postings in ``directory`` were made with.

    Raises IndexFormatError for postings of a newer version of this package, IndexCorruptedError.
    """
    version = StateFile(directory).read().get("analysis", 1)
    if not isinstance(version, int) or not 1 <= version <= ANALYSIS:
        raise IndexFormatError(
            f"the words in {directory} were made by version {version!r} of the text analysis, and "
            f"this version of rerank-search knows versions up to {ANALYSIS}: upgrade it with `pip "
            "install -U rerank-search`"
        )
    return version


def outdated(version: int) -> list[str]:
    """Problems for ``verify`` to report if a rebuild would make other postings."""
    if version == ANALYSIS:
        return []
    return [
        "this index was made by an earlier version, whose BM25 split words at some accents, vowel "
        "signs and soft hyphens: run `rerank-search index rebuild` to find all spellings of a "
        "word; until then searches rank as before"
    ]

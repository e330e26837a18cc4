"""An analyzer: how the words of a text become the terms that BM25 counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from rerank_search.retrieval.folding import folded

if TYPE_CHECKING:
    import tantivy

LONGEST_TERM = 255
"""Most bytes of a term in UTF-8; longer runs (base64, joined hashes) are not indexed."""


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """The terms of a query: some in order, with repetitions, and some with factors of their scores.

    No term is in both.
    """

    terms: list[str]
    weighted: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.terms or self.weighted)


@dataclass(frozen=True, slots=True)
class Analyzer:
    """An analyzer, by its name.

    ``prepared`` makes the words of a document from its text, with spaces between them. tantivy
    makes terms of the words: it puts them in lower case, writes letters like ø and ł in ASCII
    before or after stemming, or never, and replaces each word by its stem in the language that
    ``stemmer`` names. ``asked`` takes the place of ``prepared`` for queries, if they differ.
    ``longest`` is the most bytes that a term has.

    ``version`` is the version of the analysis (``version.py``) that made the analyzer as it is, and
    ``before`` what it was until then.
    """

    name: str
    prepared: Callable[[str], str] = folded
    asked: Callable[[str], str] | None = None
    stemmer: str | None = None
    ascii: Literal["before", "after", "never"] = "before"
    longest: int = LONGEST_TERM
    version: int = 2
    before: Analyzer | None = None

    def at(self, version: int) -> Analyzer:
        """The analyzer as it is in a version of the analysis."""
        if self.before is None or version >= self.version:
            return self
        return self.before.at(version)

    def terms(self, text: str) -> list[str]:
        """The terms of a document in order, with repetitions."""
        return self.made(self.prepared(text))

    def asked_words(self, text: str) -> str:
        """The words of a query, with spaces between them."""
        return self.prepared(text) if self.asked is None else self.asked(text)

    def made(self, words: str) -> list[str]:
        """The terms of words."""
        return _whole_words(self).analyze(words)

    def filtered(self, words: tantivy.Tokenizer) -> tantivy.TextAnalyzer:
        """What makes terms of the words."""
        import tantivy

        builder = (
            tantivy.TextAnalyzerBuilder(words)
            .filter(tantivy.Filter.remove_long(self.longest))
            .filter(tantivy.Filter.lowercase())
        )
        if self.ascii == "before":
            builder = builder.filter(tantivy.Filter.ascii_fold())
        if self.stemmer is not None:
            builder = builder.filter(tantivy.Filter.stemmer(self.stemmer))
        if self.ascii == "after":
            builder = builder.filter(tantivy.Filter.ascii_fold())
        return builder.build()


@cache
def _whole_words(analyzer: Analyzer) -> tantivy.TextAnalyzer:
    import tantivy

    return analyzer.filtered(tantivy.Tokenizer.whitespace())

"""The words of one index: the terms of its documents, and of the queries that search them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from rerank_search.retrieval.analysis.analyzer import Analyzer, QueryTerms
from rerank_search.retrieval.analysis.auto import AUTO, in_all_languages, terms_of_parts
from rerank_search.retrieval.analysis.known import known
from rerank_search.retrieval.analysis.matching import matches
from rerank_search.retrieval.analysis.stop_words import StopWords, leaving_out
from rerank_search.retrieval.analysis.terms import analyzer
from rerank_search.retrieval.analysis.version import ANALYSIS
from rerank_search.retrieval.folding import nfkc
from rerank_search.types import Span


class Words:
    """The terms of an index's documents and queries.

    Stop words are left out of queries, not out of documents.
    """

    def __init__(
        self, name: str, version: int = ANALYSIS, *, stop_words: StopWords | None = None
    ) -> None:
        self._analyzer = known(name).at(version)
        self._newest = known(name).version
        self._version = version
        self._stop_words = stop_words
        self._prepared = nfkc if version == 1 else self._analyzer.prepared
        self._made = analyzer(name, version)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments: tantivy's objects cannot be pickled."""
        return partial(Words, stop_words=self._stop_words), (self._analyzer.name, self._version)

    def prepared(self, text: str) -> str:
        """The words of a document, of which tantivy makes terms."""
        return self._prepared(text)

    def terms(self, text: str) -> list[str]:
        """The terms of a document in order, with repetitions."""
        made: list[str] = self._made.analyze(self._prepared(text))
        return made

    def of_query(self, text: str, frequency: Callable[[str], int]) -> QueryTerms:
        """The terms of a query; ``frequency`` is the number of passages that have a term."""
        if self._version == 1:
            return QueryTerms(self.terms(text))
        if self._analyzer.name == AUTO.name:
            return in_all_languages(text, frequency, self._left)
        words = self._left(self._analyzer, self._analyzer.asked_words(text))
        return QueryTerms(self._analyzer.made(words))

    def matches(self, asked: QueryTerms, texts: Iterable[str]) -> list[list[Span]]:
        """Where in each text the words stand that make the terms of a query; see ``matching``."""
        wanted = frozenset([*asked.terms, *asked.weighted])
        terms = terms_of_parts(wanted) if self._analyzer.name == AUTO.name else self.terms
        return [matches(text, terms, wanted) for text in texts]

    def outdated(self) -> list[str]:
        """Problems for ``verify`` to report if a rebuild would make other terms."""
        if self._version >= self._newest:
            return []
        if self._version == 1:
            what = "whose BM25 split words at some accents, vowel signs and soft hyphens"
            gain = "to find all spellings of a word"
        else:
            what = f"whose analyzer {self._analyzer.name!r} made other terms"
            gain = "to search with today's"
        return [
            f"this index was made by an earlier version, {what}: run `rerank-search index rebuild` "
            f"{gain}; until then searches rank as before"
        ]

    def _left(self, analyzer: Analyzer, words: str) -> str:
        return leaving_out(analyzer, self._stop_words)(words)


def terms(name: str, text: str, version: int = ANALYSIS) -> list[str]:
    """The terms of a document in order, with repetitions, by the analyzer called ``name``."""
    return Words(name, version).terms(text)

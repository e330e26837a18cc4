"""The words of one index: the terms of its documents, and of the queries that search them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.errors import IndexFormatError
from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.analysis.auto import AUTO, CHOICES, chosen, marked
from rerank_search.retrieval.analysis.known import known
from rerank_search.retrieval.analysis.stop_words import LANGUAGE, StopWords, leaving_out
from rerank_search.retrieval.analysis.terms import analyzer, prepared
from rerank_search.retrieval.analysis.version import ANALYSIS
from rerank_search.shown import shown
from rerank_search.types import JsonValue

if TYPE_CHECKING:
    import tantivy


class Words:
    """The terms of an index's documents and queries.

    ``used`` has the names of the analyzers that ``auto`` has chosen for documents; a query is
    searched by all of them. Stop words are left out of queries, not out of documents. ``auto``
    leaves out those of each language if no others are given: in a mixed index they are rarer than
    in one of their language, and would count too much.
    """

    def __init__(
        self,
        name: str,
        version: int = ANALYSIS,
        *,
        stop_words: StopWords | None = None,
        used: Iterable[str] = (),
    ) -> None:
        self._analyzer = known(name)
        self._version = version
        self._auto = self._analyzer is AUTO
        self._stop_words = LANGUAGE if self._auto and stop_words is None else stop_words
        self.used = frozenset(used)

    @property
    def tantivy(self) -> tantivy.TextAnalyzer:
        """What makes terms of texts from ``prepared``."""
        return analyzer(self._analyzer.name, self._version)

    def prepared(self, text: str) -> str:
        """The words of a document, for ``tantivy``."""
        if not self._auto:
            return prepared(self._analyzer.name, text, self._version)
        own = chosen(text)
        self.used |= {own.name}
        return " ".join(marked(own, own.terms(text)))

    def terms(self, text: str) -> list[str]:
        """The terms of a document in order, with repetitions."""
        return self.tantivy.analyze(self.prepared(text))

    def query_terms(self, text: str) -> list[str]:
        """The terms of a query in order, with repetitions."""
        if self._version == 1:
            return self.terms(text)
        if not self._auto:
            return self._asked(self._analyzer, text)
        used = map(known, sorted(self.used))
        return [term for each in used for term in marked(each, self._asked(each, text))]

    def state(self) -> dict[str, JsonValue]:
        """What the state of the engine records for the next time."""
        return {"analyzers": sorted(self.used)} if self._auto else {}

    def _asked(self, analyzer: Analyzer, text: str) -> list[str]:
        return analyzer.made(leaving_out(analyzer, self._stop_words)(analyzer.asked_words(text)))


def recorded_analyzers(state: dict[str, JsonValue], directory: Path) -> frozenset[str]:
    """The analyzers that ``auto`` chose for the documents in ``directory``, by the state there.

    Raises IndexFormatError for one that this version of the package does not have.
    """
    used = state.get("analyzers", [])
    if not isinstance(used, list) or not {*map(str, used)} <= {*CHOICES}:
        raise IndexFormatError(
            f"the words in {directory} were made by the analyzers {shown(used)}, and this version "
            "of rerank-search does not have all of them: upgrade it with `pip install -U "
            "rerank-search`"
        )
    return frozenset(map(str, used))

"""Words that are left out of queries, such as "the" and "of" in English."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from rerank_search.arguments import several, string
from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.analysis.auto import AUTO
from rerank_search.retrieval.analysis.known import known
from rerank_search.shown import shown

if TYPE_CHECKING:
    import tantivy

LANGUAGE: Final = "language"
"""The name of an analyzer's own list."""

StopWords: TypeAlias = Literal["language"] | tuple[str, ...]
"""The analyzer's own list, or the words of a user's list."""

_LISTS = (
    *("danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian"),
    *("norwegian", "portuguese", "russian", "spanish", "swedish"),
)
"""Languages with a list of stop words in tantivy (Snowball's lists)."""


def checked_stop_words(name: str, given: str | Iterable[str] | None) -> StopWords | None:
    """``given`` if it can be used with this analyzer: "language", or a list of words.

    An empty list is None. Raises InvalidInputError.
    """
    if given is None:
        return None
    analyzer = known(name)
    if given == LANGUAGE:
        if analyzer.name not in _LISTS and analyzer is not AUTO:
            raise InvalidInputError(
                f"there is no list of stop words for the analyzer {analyzer.name!r}, only for "
                f"{', '.join(_LISTS)}: give your own list of words"
            )
        return LANGUAGE
    if isinstance(given, str):
        raise InvalidInputError(
            f'stop_words={shown(given)} is one string: give "{LANGUAGE}", or a list of words'
        )
    words = tuple(
        string(f"stop_words[{place}]", word)
        for place, word in enumerate(several("stop_words", given, one="words"))
    )
    for word in words:
        if not analyzer.prepared(word).split():
            raise InvalidInputError(f"stop_words has {shown(word)}, which is not a word: remove it")
    return words or None


def leaving_out(analyzer: Analyzer, stop_words: StopWords | None) -> Callable[[str], str]:
    """What leaves the stop words out of the words of a query, unless nothing else is left."""
    listed = _filter(analyzer, stop_words)
    if listed is None:
        return lambda words: words
    return lambda words: " ".join(listed.analyze(words)) or words


@cache
def _filter(analyzer: Analyzer, stop_words: StopWords | None) -> tantivy.TextAnalyzer | None:
    import tantivy

    if stop_words == LANGUAGE:
        if analyzer.name not in _LISTS:
            return None
        left_out = tantivy.Filter.stopword(analyzer.name)
    elif stop_words:
        words = " ".join(map(analyzer.prepared, stop_words))
        left_out = tantivy.Filter.custom_stopword(words.lower().split())
    else:
        return None
    lower = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    return lower.filter(tantivy.Filter.lowercase()).filter(left_out).build()

"""Words of each text in its own language: the analyzer ``auto``.

A term has the mark of its analyzer before it, and each text has the mark alone as a term too. So
the index knows which analyzers it needs for a query, and in how many texts each was used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Set
from itertools import zip_longest

from rerank_search.languages import OF_OWN_SCRIPT, language_of
from rerank_search.retrieval.analysis.analyzer import LONGEST_TERM, Analyzer, QueryTerms
from rerank_search.retrieval.analysis.multilingual import MULTILINGUAL
from rerank_search.retrieval.analysis.stemmed import BY_CODE
from rerank_search.retrieval.folding import nfkc

SMOOTHING = 10
"""Texts added to those of a language when the share of them that have a word is computed.

A few texts do not tell which words are frequent in their language.
"""

_OTHER = "mul:"
_BY_MARK = {
    _OTHER: MULTILINGUAL,
    **{f"{code}:": MULTILINGUAL for code in sorted(OF_OWN_SCRIPT)},
    **{f"{code}:": each for code, each in BY_CODE.items()},
}
"""The analyzer of each mark.

Languages without an analyzer of their own have a mark if they have a script of their own, so that
the frequent words of Thai do not count as rare ones among Chinese texts.
"""


def _mark(text: str) -> str:
    """The mark of a text's language, or of all others where it is unsure."""
    mark = f"{language_of(nfkc(text))}:"
    return mark if mark in _BY_MARK else _OTHER


def _mark_2(text: str) -> str:
    """The mark in version 2, which had one for all languages without an analyzer of their own."""
    mark = _mark(text)
    return _OTHER if _BY_MARK[mark] is MULTILINGUAL else mark


def _marked(text: str, mark: str) -> str:
    return " ".join([mark, *(mark + term for term in _BY_MARK[mark].terms(text))])


AUTO = Analyzer(
    "auto",
    prepared=lambda text: _marked(text, _mark(text)),
    ascii="never",
    longest=LONGEST_TERM + len(_OTHER),
    version=3,
    before=Analyzer(
        "auto",
        prepared=lambda text: _marked(text, _mark_2(text)),
        ascii="never",
        longest=LONGEST_TERM + len(_OTHER),
    ),
)
"""The marked terms of a text; the terms of a query are ``in_all_languages``."""


def in_all_languages(
    query: str,
    frequency: Callable[[str], int],
    leaving_out: Callable[[Analyzer, str], str],
) -> QueryTerms:
    """The terms of a query by every analyzer that the index's texts have used.

    ``frequency`` is the number of texts that have a term, and ``leaving_out`` takes stop words out
    of words. A term counts by the share of texts that have its word, in all languages together or
    in its own: the larger one. So neither a frequent word of one language among many, nor any word
    of a language with few texts, counts as a rare one.
    """
    texts = {mark: count for mark in _BY_MARK if (count := frequency(mark))}
    total = sum(texts.values())
    analyzers = {_BY_MARK[mark] for mark in texts}
    words_left = {each: each.made(leaving_out(each, each.asked_words(query))) for each in analyzers}
    kept = {mark + term for mark in texts for term in words_left[_BY_MARK[mark]]}
    weighted: dict[str, float] = {}
    for part, parts in Counter(query.split()).items():
        spelled = {each: each.made(each.asked_words(part)) for each in analyzers}
        spellings = (spelled[_BY_MARK[mark]] for mark in texts)
        for word, words in Counter(zip_longest(*spellings)).items():
            marked = {mark + term: mark for mark, term in zip(texts, word, strict=True) if term}
            found = {term: count for term in marked if (count := frequency(term))}
            everywhere = sum(found.values()) / total
            for term in [term for term in found if term in kept]:
                own = found[term] / (texts[marked[term]] + SMOOTHING)
                share = min(1.0, max(everywhere, own))
                weight = _rarity(total, share * total) / _rarity(total, found[term])
                weighted[term] = weighted.get(term, 0.0) + parts * words * weight
    return QueryTerms([], weighted)


def terms_of_parts(asked: Set[str]) -> Callable[[str], list[str]]:
    """What makes terms of a part of a text, which does not tell its language: in each of ``asked``.

    ``asked`` are the terms of a query.
    """
    used = [mark for mark in _BY_MARK if any(term.startswith(mark) for term in asked)]
    return lambda part: [mark + term for mark in used for term in _BY_MARK[mark].terms(part)]


def _rarity(texts: int, having: float) -> float:
    """The weight that BM25 gives a term (Lucene's IDF)."""
    return math.log1p((texts - having + 0.5) / (having + 0.5))

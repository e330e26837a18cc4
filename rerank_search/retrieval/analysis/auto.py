"""Words of each text in its own language: the analyzer ``auto``.

Terms have a mark of their analyzer before them. So the same letters in two languages are two words:
"die" is rare in English, and in German it is not.
"""

from __future__ import annotations

from rerank_search.languages import language_of
from rerank_search.retrieval.analysis.analyzer import LONGEST_TERM, Analyzer
from rerank_search.retrieval.analysis.multilingual import MULTILINGUAL
from rerank_search.retrieval.analysis.stemmed import BY_CODE
from rerank_search.retrieval.folding import nfkc

_MARKS = {"mul": MULTILINGUAL, **BY_CODE}
_BY_NAME = {analyzer.name: mark for mark, analyzer in _MARKS.items()}

CHOICES = tuple(_BY_NAME)
"""Names of the analyzers that ``auto`` chooses from."""


def chosen(text: str) -> Analyzer:
    """The analyzer of the text's language, or ``multilingual`` if that has none or is unsure."""
    return BY_CODE.get(language_of(nfkc(text)) or "", MULTILINGUAL)


def marked(analyzer: Analyzer, terms: list[str]) -> list[str]:
    """The terms that this analyzer made, with its mark."""
    mark = _BY_NAME[analyzer.name]
    return [f"{mark}:{term}" for term in terms]


def _prepared(text: str) -> str:
    analyzer = chosen(text)
    return " ".join(marked(analyzer, analyzer.terms(text)))


AUTO = Analyzer("auto", _prepared, ascii="never", longest=LONGEST_TERM + len("mul:"))
"""The marked terms of ``chosen``; a query needs ``Words``, which knows what was chosen before."""

"""All analyzers by their names. A new one is a module and a line here."""

from __future__ import annotations

from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.analysis.plain import ENGLISH, PLAIN
from rerank_search.shown import shown

_KNOWN = (ENGLISH, PLAIN)
_BY_NAME = {analyzer.name: analyzer for analyzer in _KNOWN}

ANALYZERS = tuple(_BY_NAME)
"""Names of the analyzers."""


def known(name: str) -> Analyzer:
    """The analyzer called ``name``. Raises InvalidInputError, which names those there are."""
    found = _BY_NAME.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidInputError(
            f"there is no analyzer {shown(name)}: choose one of {', '.join(ANALYZERS)}"
        )
    return found

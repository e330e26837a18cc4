"""All analyzers by their names. A new one is a module and a line here."""

from __future__ import annotations

from pathlib import Path

from rerank_search.errors import IndexFormatError, InvalidInputError
from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.analysis.auto import AUTO
from rerank_search.retrieval.analysis.code import CODE
from rerank_search.retrieval.analysis.multilingual import MULTILINGUAL
from rerank_search.retrieval.analysis.plain import ENGLISH, PLAIN
from rerank_search.retrieval.analysis.stemmed import BY_CODE
from rerank_search.shown import shown

_OF_LANGUAGES = sorted(BY_CODE.values(), key=lambda analyzer: analyzer.name)
_KNOWN = (ENGLISH, PLAIN, AUTO, MULTILINGUAL, CODE, *_OF_LANGUAGES)
_BY_NAME = {analyzer.name: analyzer for analyzer in _KNOWN}

NAMES = tuple(_BY_NAME)
"""Names of the analyzers."""

CODES = tuple(BY_CODE)
"""Codes of the languages that have an analyzer, by ISO 639-1."""


def check_known(recorded: str, directory: Path) -> None:
    """Raise IndexFormatError for an index with an analyzer of a newer version of this package."""
    if recorded not in _BY_NAME:
        raise IndexFormatError(
            f"{directory} was made with the analyzer {shown(recorded)}, which this version of "
            "rerank-search does not have: upgrade it with `pip install -U rerank-search`"
        )


def known(name: str) -> Analyzer:
    """The analyzer called ``name``, or that of the language with this ISO 639-1 code.

    Raises InvalidInputError, which names those there are.
    """
    found = None
    if isinstance(name, str):
        found = _BY_NAME.get(name) or BY_CODE.get(name)
    if found is None:
        small = name.strip().lower() if isinstance(name, str) else ""
        hint = f" (did you mean {small!r}?)" if small in _BY_NAME or small in BY_CODE else ""
        raise InvalidInputError(
            f"there is no analyzer {shown(name)}{hint}: choose one of {', '.join(NAMES)}, or the "
            f"code of a language ({', '.join(CODES)}). For any other language use "
            f"{MULTILINGUAL.name!r}"
        )
    return found

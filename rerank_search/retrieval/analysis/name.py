"""The name of an analyzer, as a field of a pydantic model."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, WithJsonSchema

from rerank_search.retrieval.analysis.known import CODES, NAMES, known


def analyzer_name(given: str) -> str:
    """The name under which an index records the analyzer: ``german`` for ``de`` too.

    Raises InvalidInputError, which names the analyzers there are.
    """
    return known(given).name


AnalyzerName: TypeAlias = Annotated[
    str,
    AfterValidator(analyzer_name),
    WithJsonSchema({"type": "string", "enum": [*NAMES, *CODES]}),
]
"""A name that ``analyzer_name`` knows."""

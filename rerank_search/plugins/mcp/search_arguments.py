"""The arguments of ``search_passages``: the search options, and how passages are shown.

Some hosts refuse schemas with null, so an option that can be None has an empty value instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import Field

from rerank_search.options import OPTIONS, SearchOptions
from rerank_search.types import JsonValue

MOST_HITS = 100
"""Largest number of documents in an answer, which a model has to read."""

NEIGHBOURHOOD = 300
"""Characters shown before and after a passage by default."""


def _option(
    name: str, empty: str = "", *, least: int | None = None, most: int | None = None
) -> Any:
    """The help and the bounds of an option; ``empty`` says what its empty value means."""
    option = OPTIONS[name]
    return Field(
        ge=option.ge if least is None else least,
        le=option.le if most is None else most,
        description=f"{option.help} {empty}".strip(),
    )


Query = Annotated[
    str,
    Field(description="What to look for, as a question or in plain words, not only key words."),
]
IndexName = Annotated[
    str, Field(description="The name of the only index to search; empty searches all.")
]
Filter = Annotated[
    dict[str, JsonValue],
    Field(
        default_factory=dict,
        description='Metadata that documents must have, such as {"lang": "en"} or '
        '{"year": {"$gte": 2020}}. list_indexes shows the keys.',
    ),
]
TopK = Annotated[int, _option("top_k", most=MOST_HITS)]
Candidates = Annotated[int, _option("candidates")]
FirstStage = Annotated[
    str,
    Field(
        description="First stage that fetches the candidates, such as bm25 for exact words; empty "
        "is the best that the index has."
    ),
]
Rerank = Annotated[bool, _option("rerank")]
BudgetMs = Annotated[float, _option("budget_ms", "0 is no limit.", least=0)]
MinRelevance = Annotated[float, _option("min_relevance", "0 leaves out none.")]
PassagesPerDocument = Annotated[int, _option("passages_per_document", most=10)]
CollapseDuplicates = Annotated[bool, _option("collapse_duplicates")]
Neighbourhood = Annotated[
    int, Field(ge=0, le=2_000, description="Characters to show before and after each passage.")
]
Tokens = Annotated[
    int,
    Field(
        ge=0,
        le=100_000,
        description="Pack the passages into one text of at most so many tokens, with numbers to "
        "cite them by; 0 lists them one by one.",
    ),
]

NOT_OFFERED = frozenset({"instruction", "query_vector"})
"""Options that the tool does not have: whoever starts the server knows whether its reranker takes
an instruction, and an agent has no vectors."""

_EMPTY_IS_NONE = {each.name for each in fields(SearchOptions) if each.default is None}


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The search options among the arguments of a call."""
    return {
        name: given[name] or None if name in _EMPTY_IS_NONE else given[name]
        for name in OPTIONS
        if name not in NOT_OFFERED
    }

"""Filters of this library as LlamaIndex's, for vector stores that stay where they are."""

from __future__ import annotations

from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from pydantic import ValidationError

from rerank_search.errors import InvalidFilterError
from rerank_search.plugins.filter_parts import COMPARISONS, Combination, Comparison, parts
from rerank_search.shown import shown
from rerank_search.storage.paths import written
from rerank_search.types import Filter

_OPERATORS = dict(
    zip(
        COMPARISONS,
        (
            *(FilterOperator.EQ, FilterOperator.NE, FilterOperator.GT, FilterOperator.GTE),
            *(FilterOperator.LT, FilterOperator.LTE, FilterOperator.IN, FilterOperator.NIN),
        ),
        strict=True,
    )
)


def metadata_filters(filter: Filter) -> MetadataFilters:
    """The filter in LlamaIndex's language, as flat as it can be: most stores take no nested ones.

    Raises InvalidFilterError for a filter that LlamaIndex's language cannot express.
    """
    found = _combined(parts(filter, language="LlamaIndex", operators=COMPARISONS))
    return found if isinstance(found, MetadataFilters) else MetadataFilters(filters=[found])


def _part(part: Comparison | Combination) -> MetadataFilter | MetadataFilters:
    return _compared(part) if isinstance(part, Comparison) else _combined(part)


def _combined(given: Combination) -> MetadataFilter | MetadataFilters:
    condition = FilterCondition(given.word)
    # "not" holds if none of its parts does, so it takes the parts of an "or" as they are.
    same = FilterCondition.OR if condition is FilterCondition.NOT else condition
    below: list[MetadataFilter | MetadataFilters] = []
    for part in map(_part, given.parts):
        if isinstance(part, MetadataFilters) and part.condition is same:
            below += part.filters
        else:
            below.append(part)
    if len(below) == 1 and condition is not FilterCondition.NOT:
        return below[0]
    return MetadataFilters(filters=below, condition=condition)


def _compared(given: Comparison) -> MetadataFilter:
    key = given.steps[0]
    if len(given.steps) > 1:
        raise InvalidFilterError(
            f"{written(given.steps)} is a nested key, and LlamaIndex only filters by top-level "
            "keys: leave it out"
        )
    members = given.operand if isinstance(given.operand, list) else [given.operand]
    try:
        if any(isinstance(member, bool) for member in members):
            raise ValueError
        return MetadataFilter(key=key, operator=_OPERATORS[given.operator], value=given.operand)
    except ValueError as error:  # pydantic's ValidationError is one
        raise InvalidFilterError(
            f"{given.operator} of {shown(key)} has {shown(given.operand)}, and LlamaIndex filters "
            "by strings and numbers, or by a list of one kind of them: use these"
        ) from (error if isinstance(error, ValidationError) else None)

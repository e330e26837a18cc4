"""LlamaIndex's metadata filters as filters of an index."""

from __future__ import annotations

from typing import Any

from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.paths import written
from rerank_search.types import Filter

_OF_A_VALUE = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.CONTAINS: "$contains",
    FilterOperator.TEXT_MATCH: "$contains",
}
_OF_A_LIST = {FilterOperator.IN: "$in", FilterOperator.NIN: "$nin"}
_OF_MEMBERS = {FilterOperator.ALL: "$and", FilterOperator.ANY: "$or"}

_WITHOUT_COUNTERPART = {
    FilterOperator.IS_EMPTY: "an index cannot find empty lists: give "
    "filter={'key': {'$exists': False}}, or {'key': ''}",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "an index compares texts with their case: use "
    "'text_match', or store the text in lower case",
}


def index_filter(filters: MetadataFilters) -> Filter:
    """The filter of an index that allows the same nodes.

    Raises InvalidFilterError for an operator that has no exact counterpart, for a value that its
    operator cannot have, and for what is not MetadataFilters.
    """
    if not isinstance(filters, MetadataFilters):
        raise InvalidFilterError(
            f"filters={shown(filters)} are not MetadataFilters: give these, or filter= with a "
            "mapping where it is an argument"
        )
    parts = [
        index_filter(each) if isinstance(each, MetadataFilters) else _condition(each)
        for each in filters.filters
    ]
    if not parts:  # LlamaIndex's own filters then allow every node, also with "or" and "not"
        return {}
    if filters.condition is FilterCondition.NOT:
        return {"$not": {"$or": parts}}
    return {"$or" if filters.condition is FilterCondition.OR else "$and": parts}


def _condition(given: MetadataFilter) -> Filter:
    key = written((given.key,)) if given.key.startswith("$") else given.key
    operator, value = given.operator, given.value
    if (reason := _WITHOUT_COUNTERPART.get(operator)) is not None:
        raise InvalidFilterError(
            f"the operator {operator.value!r} of {shown(given.key)} is not supported, because "
            f"{reason}"
        )
    if operator in _OF_A_VALUE:
        if value is None or isinstance(value, list):
            raise _wrong(given, "one string or number")
        if operator is FilterOperator.TEXT_MATCH and not isinstance(value, str):
            raise _wrong(given, "a string")
        return {key: {_OF_A_VALUE[operator]: value}}
    if not isinstance(value, list):
        raise _wrong(given, "a list")
    if operator in _OF_A_LIST:
        return {key: {_OF_A_LIST[operator]: value}}
    if not value:
        raise _wrong(given, "a list that is not empty")
    members: list[dict[str, Any]] = [{key: {"$contains": member}} for member in value]
    return {_OF_MEMBERS[operator]: members}


def _wrong(given: MetadataFilter, wanted: str) -> InvalidFilterError:
    return InvalidFilterError(
        f"the operator {given.operator.value!r} of {shown(given.key)} has {shown(given.value)}: "
        f"give {wanted}"
    )

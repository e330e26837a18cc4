"""Filters of this library as Haystack's, for document stores that stay where they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rerank_search.errors import InvalidFilterError
from rerank_search.plugins.filter_parts import COMPARISONS, Combination, Comparison, parts
from rerank_search.shown import shown
from rerank_search.types import Filter

_OPERATORS = dict(zip(COMPARISONS, ("==", "!=", ">", ">=", "<", "<=", "in", "not in"), strict=True))


def haystack_filters(filter: Filter) -> dict[str, Any]:
    """The filter in Haystack's language.

    Raises InvalidFilterError for a filter that Haystack's language cannot express.
    """
    return _combined(parts(filter, language="Haystack", operators=COMPARISONS))


def _part(part: Comparison | Combination) -> dict[str, Any]:
    return _compared(part) if isinstance(part, Comparison) else _combined(part)


def _combined(given: Combination) -> dict[str, Any]:
    below = [_part(part) for part in given.parts]
    if len(below) == 1 and given.word != "not":
        return below[0]
    return {"operator": given.word.upper(), "conditions": below}


def _compared(given: Comparison) -> dict[str, Any]:
    key, operand = ".".join(given.steps), given.operand
    if any("." in step or not step for step in given.steps):
        raise InvalidFilterError(
            f"the metadata key {shown(key)} cannot be filtered in Haystack, where a dot means a "
            "nested key: rename the key, or write a nested key as a path, such as $.author.name"
        )
    if given.operator in ("$gt", "$gte", "$lt", "$lte") and not _has_order(operand):
        raise InvalidFilterError(
            f"{given.operator} of {shown(key)} has {shown(operand)}, and Haystack only orders "
            "numbers and dates: use a number, or a date such as 2026-11-30"
        )
    return {"field": f"meta.{key}", "operator": _OPERATORS[given.operator], "value": operand}


def _has_order(operand: object) -> bool:
    if not isinstance(operand, str):
        return True
    try:
        datetime.fromisoformat(operand)
    except ValueError:
        return False
    return True

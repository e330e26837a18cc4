"""Haystack's filters, translated.

They mean what ``haystack.utils.filters.document_matches_filter`` says: a missing key equals None, a
list equals none of its members, and only numbers and dates have an order. Here dates are compared
as text, and True is not 1. ``contains`` and ``not contains`` are further operators: a member of a
list, or a part of a string.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from haystack.dataclasses import Document
from haystack.errors import FilterError

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.attributes import kind_of
from rerank_search.storage.filters import compile_filter
from rerank_search.storage.paths import written
from rerank_search.types import Filter

FEW = 500
"""Number of values of ``in`` up to which each is a range of its own."""

_NOTHING: Filter = {"$not": {}}
_ORDER = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_EQUAL = ("==", "!=", "in", "not in", "contains", "not contains")
_LOGIC = ("AND", "OR", "NOT")
_PARTS = ("field", "operator", "value")
_EXAMPLE = '{"field": "meta.lang", "operator": "==", "value": "en"}'
_OF_DOCUMENTS = {field.name for field in fields(Document)}
_DEEPEST = 50


def translated(filters: object) -> Filter:
    """The filter in the language of ``Index.find``; None and ``{}`` allow all documents.

    Raises FilterError for one that is not valid, or has no translation.
    """
    if filters is None or filters == {}:
        return {}
    filter = _part(filters, 0)
    try:
        compile_filter(filter)
    except InvalidFilterError as error:
        raise FilterError(str(error)) from error
    return filter


def by_ids(filters: object) -> tuple[list[str], dict[str, Any]] | None:
    """The ids that a filter names, by ``id ==`` or ``id in``, and the conditions beside them.

    None if it names none, or not alone or as a condition of an AND. Haystack's retrievers of parent
    documents have such filters; metadata have no ids, so ``translated`` refuses them. Raises
    FilterError for invalid conditions beside them.
    """
    if not isinstance(filters, Mapping):
        return None
    if (ids := _ids(filters)) is not None:
        return ids, {}
    conditions = filters.get("conditions")
    if filters.get("operator") != "AND" or not isinstance(conditions, list):
        return None
    for place, condition in enumerate(conditions):
        if (ids := _ids(condition)) is not None:
            beside = {**filters, "conditions": conditions[:place] + conditions[place + 1 :]}
            translated(beside)
            return ids, beside
    return None


def _ids(condition: object) -> list[str] | None:
    if not isinstance(condition, Mapping) or condition.get("field") != "id":
        return None
    _check_keys(condition, _PARTS)
    operator, value = condition["operator"], condition["value"]
    ids = [value] if operator == "==" else value
    if operator not in ("==", "in") or not isinstance(ids, list):
        return None
    return list(dict.fromkeys(id for id in ids if isinstance(id, str) and id))


def _part(filters: object, depth: int) -> Filter:
    if not isinstance(filters, Mapping):
        raise FilterError(f"{shown(filters)} is not a filter: give a dict such as {_EXAMPLE}")
    if depth > _DEEPEST:
        raise FilterError(f"the filter is nested more than {_DEEPEST} deep: flatten it")
    if "field" in filters:
        return _comparison(filters)
    return _logic(filters, depth)


def _logic(filters: Mapping[str, Any], depth: int) -> Filter:
    _check_keys(filters, ("operator", "conditions"))
    operator, conditions = filters["operator"], filters["conditions"]
    if operator not in _LOGIC:
        raise FilterError(
            f"{shown(operator)} does not combine conditions: use {', '.join(_LOGIC)}, or a filter "
            f"such as {_EXAMPLE}"
        )
    if not isinstance(conditions, list):
        raise FilterError(f"'conditions' has {shown(conditions)}: give a list of filters")
    parts = [_part(condition, depth + 1) for condition in conditions]
    if operator == "OR":
        return {"$or": parts} if parts else _NOTHING
    joined: Filter = {"$and": parts} if parts else {}
    return {"$not": joined} if operator == "NOT" else joined


def _comparison(filters: Mapping[str, Any]) -> Filter:
    _check_keys(filters, _PARTS)
    field, operator = filters["field"], filters["operator"]
    value = _plain(filters["value"])
    key = _key(field)
    if operator == "==":
        return _one_of(key, [value])
    if operator == "!=":
        return {"$not": _one_of(key, [value])}
    if operator in ("in", "not in"):
        if not isinstance(value, list):
            raise _wrong(field, operator, value, "a list")
        among = _one_of(key, [_plain(member) for member in value])
        return among if operator == "in" else {"$not": among}
    if operator in ("contains", "not contains"):
        contained: Filter = {key: {"$contains": value}}
        return contained if operator == "contains" else {"$not": contained}
    if not isinstance(operator, str) or operator not in _ORDER:
        known = ", ".join((*_EQUAL, *_ORDER))
        raise FilterError(f"{shown(operator)} of {shown(field)} is not an operator: use {known}")
    if value is None:
        return _NOTHING
    if kind_of(value) != "number" and not _is_date(value):
        raise _wrong(field, operator, value, "a number, or a date such as 2026-11-30T12:00:00")
    return {key: {_ORDER[operator]: value}}


def _one_of(key: str, values: list[Any]) -> Filter:
    """Whether the value equals one of these. A member of a list does not count.

    Orders are false for lists, so a range of one value is that value alone. For many
    values it is the range around all of them, in which more is read.
    """
    by_kind: dict[str, list[Any]] = {}
    for value in values:
        by_kind.setdefault(kind_of(value), []).append(value)
    parts: list[Filter] = []
    for kind, members in by_kind.items():
        if kind in ("number", "string"):
            if len(members) <= FEW:
                parts += [{key: {"$gte": each, "$lte": each}} for each in members]
            else:
                around = {"$gte": min(members), "$lte": max(members)}
                parts.append({key: {"$in": members, **around}})
        elif kind == "nested":
            raise FilterError(
                f"{shown(key)} is compared with {shown(members[0])}: use a string, a number, a "
                "bool or None, or the operator contains for a member of a list"
            )
        else:
            alone = ({key: {"$eq": each, "$not": {"$contains": each}}} for each in {*members})
            parts += [*alone, *([{key: {"$exists": False}}] if kind == "null" else [])]
    return {"$or": parts} if parts else _NOTHING


def _key(field: object) -> str:
    """The metadata key, or the path, that a field stands for."""
    if not isinstance(field, str):
        raise FilterError(f"the field {shown(field)} is not a string: use one such as meta.lang")
    if field.startswith("meta."):
        steps = tuple(field.split(".")[1:])
        return steps[0] if len(steps) == 1 and not steps[0].startswith("$") else written(steps)
    if field in _OF_DOCUMENTS:
        raise FilterError(
            f"documents cannot be filtered by {shown(field)}: use a key of their metadata, such as "
            "meta.lang. A document store also takes id with == or in, alone or in an AND"
        )
    if "." in field:
        raise FilterError(f"the field {shown(field)} is unknown: write it 'meta.{field}'")
    return written((field,)) if field.startswith("$") else field


def _check_keys(filters: Mapping[str, Any], names: Collection[str]) -> None:
    for name in names:
        if name not in filters:
            raise FilterError(f"{shown(filters)} has no {name!r}: write it such as {_EXAMPLE}")
    for name in filters:
        if name not in names:
            raise FilterError(f"{shown(filters)} has the unknown key {shown(name)}: remove it")


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _wrong(field: object, operator: object, value: object, wanted: str) -> FilterError:
    return FilterError(f"{operator} of {shown(field)} has {shown(value)}: give {wanted}")

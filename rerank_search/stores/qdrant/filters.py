"""Filters as Qdrant has them: JSON as in its REST API.

Qdrant compares a value and the members of a list alike; ``key[]`` names the members of a list
alone. So "a list with this member" is a match of both, and "a value that is not in a list" a match
of the first without the second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.attributes import path_key
from rerank_search.storage.filter_tree import (
    And,
    BeginsWith,
    Exists,
    FilterTree,
    HasMember,
    HasText,
    Matches,
    Not,
    OneOf,
    Or,
    Within,
)
from rerank_search.storage.paths import Name
from rerank_search.stores.qdrant.calls import Conditions

NOTHING: Conditions = {"has_id": []}
"""The filter that no point matches."""

LEAST_INEXACT, LARGEST_INTEGER = 2**53, 2**64
"""Bounds of the numbers that Qdrant may not tell from their neighbours: it compares integers as
floats, and stores no larger ones."""

MOST_STEPS = 6
"""Most keys of a path: each one before the last doubles the conditions, as it may be a list."""

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


class QdrantFilter:
    """Translates filters for a collection whose metadata are in the payload under ``metadata``.

    ``metadata`` None stands for the payload itself, without the keys ``others``. ``empty_lists`` is
    the payload key that has the names of metadata keys whose value is an empty list, which Qdrant
    does not tell from a missing one; without it ``$exists`` is refused.
    """

    def __init__(
        self, metadata: str | None, *, empty_lists: str | None = None, others: Sequence[str] = ()
    ) -> None:
        self._metadata = () if metadata is None else (metadata,)
        self._empty_lists = empty_lists
        self._others = frozenset(others)

    def translated(self, tree: FilterTree) -> Conditions:
        """The filter for Qdrant. Raises InvalidFilterError for what it cannot express exactly."""
        match tree:
            case And(parts):
                return _all(*map(self.translated, parts))
            case Or(parts):
                return _any(*map(self.translated, parts))
            case Not(part):
                return _none(self.translated(part))
            case _ if tree.name.steps[0] in self._others:
                return NOTHING
            case OneOf(name, kind, values):
                return _any(*(_one_of(key, name, kind, values) for key in self._keys(name)))
            case Within(name, "number", bounds):
                ends = {_BOUNDS[sign]: _exact(name, value) for sign, value in bounds}
                return _alone(self._first(name), {"range": ends})
            case HasMember(name, kind, value):
                return _any(*self._members(name, kind, value))
            case HasText(name, text):
                return _alone(self._first(name), {"match": {"substring": text}})
            case BeginsWith(name, text):
                condition = {"match": {"prefix": text}}
                return _any(*({"key": key, **condition} for key in self._keys(name)))
            case Exists(name):
                return self._exists(name)
            case Within(name, _, _):
                raise _refused(name, "an order of strings", "use $in, $prefix or numbers")
            case Matches(name, _):
                raise _refused(name, "$glob", "use $prefix, or $contains for a part of a string")

    def _first(self, name: Name) -> str:
        return self._keys(name)[0]

    def _keys(self, name: Name) -> list[str]:
        """The paths of Qdrant for a name, the first without a list on the way."""
        if len(name.steps) > MOST_STEPS:
            raise _refused(name, f"a path of more than {MOST_STEPS} keys", "use a shorter path")
        steps = [_quoted(step, name) for step in (*self._metadata, *name.steps)]
        fixed, lists, last = (
            steps[: len(self._metadata)],
            steps[len(self._metadata) : -1],
            steps[-1],
        )
        ways = itertools.product(*((step, f"{step}[]") for step in lists))
        return [".".join([*fixed, *way, last]) for way in ways]

    def _members(self, name: Name, kind: str, value: Any) -> list[Conditions]:
        first, *others = self._keys(name)
        in_list = _all(*(_one_of(key, name, kind, [value]) for key in (first, f"{first}[]")))
        return [in_list, *(_one_of(key, name, kind, [value]) for key in others)]

    def _exists(self, name: Name) -> Conditions:
        if self._empty_lists is None:
            raise _refused(
                name,
                "$exists",
                "compare with a value, or have this library make the collection: elsewhere an "
                "empty list is taken for a missing key",
            )
        filled = [
            _any(_none({"is_empty": {"key": key}}), {"is_null": {"key": key}})
            for key in self._keys(name)
        ]
        listed = {"key": self._empty_lists, "match": {"value": path_key(name.steps)}}
        return _any(*filled, listed)


def _one_of(key: str, name: Name, kind: str, values: Sequence[Any]) -> Conditions:
    if kind == "null":
        return {"is_null": {"key": key}}
    if kind == "string":
        return {"key": key, "match": {"any": list(values)}}
    if kind == "bool":
        return _any(*({"key": key, "match": {"value": bool(value)}} for value in values))
    exact = [_exact(name, value) for value in values]
    return _any(*({"key": key, "range": {"gte": value, "lte": value}} for value in exact))


def _alone(key: str, condition: Conditions) -> Conditions:
    """Whether a value that is not in a list meets the condition."""
    return {
        "must": [{"key": key, **condition}],
        "must_not": [{"key": f"{key}[]", **condition}],
    }


def _exact(name: Name, value: float) -> float:
    if LEAST_INEXACT <= abs(value) <= LARGEST_INTEGER or math.isinf(value):
        fix = f"use a number below {LEAST_INEXACT:,}, or store such numbers as strings"
        raise _refused(name, f"the number {shown(value)}", fix)
    return value


def _quoted(step: str, name: Name) -> str:
    if '"' in step or "\\" in step:
        raise _refused(name, "a key with a quotation mark or a backslash", "rename the key")
    return f'"{step}"'


def _all(*parts: Conditions) -> Conditions:
    return parts[0] if len(parts) == 1 else {"must": list(parts)} if parts else {}


def _any(*parts: Conditions) -> Conditions:
    return parts[0] if len(parts) == 1 else {"should": list(parts)} if parts else NOTHING


def _none(part: Conditions) -> Conditions:
    return {"must_not": [part]}


def _refused(name: Name, what: str, fix: str) -> InvalidFilterError:
    return InvalidFilterError(
        f"the filter of {shown(name.written)} has {what}, which filters of Qdrant cannot express "
        f"exactly: {fix}"
    )

"""Filters as expressions of Milvus.

In a collection of ours they are over digests of attribute keys, which an array of strings has, and
over texts that are compared, which a JSON field has. In a collection of others they are over its
scalar fields. "Not" stands before single conditions alone: a comparison with a missing value is
neither true nor false in Milvus.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
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
from rerank_search.stores.attribute_keys import (
    PART,
    attribute_keys,
    key_beginning,
    name_text,
    value_text,
)
from rerank_search.stores.balanced import balanced
from rerank_search.types import JsonValue

SPECIAL = str.maketrans(
    {sign: f"\x01{place:03b}".translate({48: 4, 49: 5}) for place, sign in enumerate("%_\\\"'\n\r")}
)
"""Characters that a pattern cannot have as they are. No value text has the ones used for them."""

INTEGERS = ("INT8", "INT16", "INT32", "INT64")
"""The types of whole numbers."""

EXACT = 2**53
"""Least integer that a float may not tell from its neighbour."""


def expression(tree: FilterTree, filters: KeyFilters | FieldFilters, *, holds: bool = True) -> str:
    """A filter, or its opposite. Raises InvalidFilterError for what Milvus cannot express."""
    match tree:
        case Not(part):
            return expression(part, filters, holds=not holds)
        case And(parts) | Or(parts):
            every = isinstance(tree, And) == holds
            made = [expression(part, filters, holds=holds) for part in parts]
            return _joined(made, every=every) if made else _constant(filters, holds=every)
        case _:
            return filters.condition(tree, holds=holds)


def quoted(text: str) -> str:
    """A string of an expression."""
    for sign, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(sign, escaped)
    return f'"{text}"'


def one_of(field: str, values: Collection[str]) -> str:
    """Whether a field has one of these values, which are written as in expressions."""
    return f"{field} in [{', '.join(values)}]"


@dataclass(frozen=True, slots=True)
class KeyFilters:
    """Filters over the array ``keys`` and the JSON field ``texts``.

    ``nothing`` is a condition that no document meets.
    """

    nothing: str
    keys: str
    texts: str

    def stored(self, metadata: Mapping[str, JsonValue]) -> tuple[set[str], dict[str, str]]:
        """The values of both fields for a document."""
        digests: set[str] = set()
        texts: dict[str, str] = {}
        for key in attribute_keys(metadata):
            name, kind, member, value = key.split(PART)
            beginning = f"{name}{PART}{kind}{PART}"
            digests.update(map(_digest, (name + PART, f"{beginning}{member}", key)))
            if kind == "string":
                place = _digest(beginning)
                texts[place] = texts.get(place, PART) + value.translate(SPECIAL) + PART
            elif kind == "number" and member == "0":
                texts[_digest(beginning)] = value
        return digests, texts

    def condition(self, part: FilterTree, *, holds: bool) -> str:
        """A part of a filter, or its opposite."""
        match part:
            case OneOf(name, kind, values):
                beginnings = [key_beginning(name, kind, member=each) for each in (False, True)]
                texts = [value_text(kind, value) for value in values]
                return self._has([start + text for start in beginnings for text in texts], holds)
            case HasMember(name, kind, value):
                key = key_beginning(name, kind, member=True) + value_text(kind, value)
                return self._has([key], holds)
            case Exists(name):
                return self._has([name_text(name)], holds)
            case Within(name, "number", bounds):
                alone = [_any(name, "number", member=False)]
                ends = [f'{sign} "{value_text("number", end)}"' for sign, end in bounds]
                return self._compared(name, "number", alone, ends, holds)
            case HasText(name, text):
                alone = [_any(name, "string", member=False)]
                return self._compared(name, "string", alone, _like("", text), holds)
            case BeginsWith(name, text):
                any_of = [_any(name, "string", member=each) for each in (False, True)]
                return self._compared(name, "string", any_of, _like(PART, text), holds)
            case Within(name, _, _):
                raise refused(name, "an order of strings", "use $in, $prefix or numbers")
            case Matches(name, _):
                raise refused(name, "$glob", "use $prefix, or $contains for a part of a string")
        raise TypeError(f"not a part of a filter: {part!r}")

    def _has(self, keys: Sequence[str], holds: bool) -> str:
        wanted = ", ".join(f'"{_digest(key)}"' for key in keys)
        return f"({'' if holds else 'not '}array_contains_any({self.keys}, [{wanted}]))"

    def _compared(
        self, name: Name, kind: str, keys: Sequence[str], ends: Sequence[str], holds: bool
    ) -> str:
        """Whether there is one of the keys, and the text of that name and kind meets all ends."""
        text = f'{self.texts}["{_digest(f"{name_text(name)}{kind}{PART}")}"]'
        conditions = [f"({'' if holds else 'not '}({text} {end}))" for end in ends]
        return _joined([self._has(keys, holds), *conditions], every=holds)


@dataclass(frozen=True, slots=True)
class Field:
    """A scalar field: its name, its type as Milvus names it, and whether it may be NULL."""

    name: str
    kind: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class FieldFilters:
    """Filters over the fields of a collection of others, as far as they are certain to be exact.

    A NULL is a missing key. A comparison with another type than the field's is false. ``nothing``
    is a condition that no document meets.
    """

    nothing: str
    fields: Mapping[str, Field]

    def condition(self, part: FilterTree, *, holds: bool) -> str:
        """A part of a filter, or its opposite."""
        name: Name = part.name  # type: ignore[union-attr]
        field = self.fields.get(name.steps[0])
        if name.is_nested or field is None or field.kind not in _COMPARED:
            raise refused(name, "a key that is not a field of single values", _OURS)
        found = _condition(part, name, field)
        if found is None:
            return _constant(self, holds=not holds)
        guard = [f"({field.name} is {'not ' if holds else ''}null)"] if field.nullable else []
        return _joined([*guard, found if holds else f"(not {found})"], every=holds)


_OURS = "have this library make the collection"

_COMPARED = ("BOOL", *INTEGERS, "DOUBLE", "VARCHAR")


def _condition(part: FilterTree, name: Name, field: Field) -> str | None:
    """A condition on a field that is not NULL; None if no value of its type meets it."""
    whole = field.kind in INTEGERS
    kind = {"BOOL": "bool", "VARCHAR": "string"}.get(field.kind, "number")
    match part:
        case OneOf(_, wanted, _) | Within(_, wanted, _) if wanted != kind:
            return None
        case OneOf(_, "string", values):
            return f"({one_of(field.name, [quoted(value) for value in values])})"
        case OneOf(_, "bool", values):
            either = [f"({field.name} == {str(bool(value)).lower()})" for value in values]
            return _joined(either, every=False)
        case OneOf(_, _, values):
            limits = [_limit(name, each, whole=whole) for each in values]
            fitting = [
                int(each) if whole else each for each in limits if not whole or each % 1 == 0
            ]
            either = [f"({field.name} == {each})" for each in fitting]
            return _joined(either, every=False) if either else None
        case Within(_, "number", bounds):
            ends = [(sign, _limit(name, end, whole=whole)) for sign, end in bounds]
            if whole:  # integers below 2.5 are those below 3, and those up to 2.5 are up to 2
                rounded = {"<": math.ceil, ">=": math.ceil, "<=": math.floor, ">": math.floor}
                ends = [(sign, rounded[sign](end)) for sign, end in ends]
            return _joined([f"({field.name} {sign} {end})" for sign, end in ends], every=True)
    raise refused(name, "another operator than $eq, $ne, $in, $nin and orders of numbers", _OURS)


def _limit(name: Name, value: float, *, whole: bool) -> float:
    """A number that is compared with integers, or with floats."""
    most = 2**63 if whole else EXACT
    if abs(value) >= most:
        raise refused(name, f"the number {value}", f"use one below {most:,}, or {_OURS}")
    return value if whole else float(value)


def _like(before: str, text: str) -> list[str]:
    """A condition on texts with this text in them, after ``before``; none for an empty one."""
    return [f'like "%{before}{value_text("string", text).translate(SPECIAL)}%"'] if text else []


def _any(name: Name, kind: str, *, member: bool) -> str:
    """The key of a document with any value of that kind."""
    return key_beginning(name, kind, member=member).removesuffix(PART)


def _digest(key: str) -> str:
    """A short name for a key, in letters and digits."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _joined(parts: Sequence[str], *, every: bool) -> str:
    return balanced("and" if every else "or", parts)


def _constant(filters: KeyFilters | FieldFilters, *, holds: bool) -> str:
    return f"(not {filters.nothing})" if holds else filters.nothing


def refused(name: Name, what: str, fix: str) -> InvalidFilterError:
    """The error of a filter that Milvus cannot apply exactly."""
    return InvalidFilterError(
        f"the filter of {shown(name.written)} has {what}, which Milvus cannot apply exactly: {fix}"
    )

"""A filter in parts that other languages of filters have too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.filters import compile_filter
from rerank_search.storage.paths import name_of
from rerank_search.types import Filter, JsonValue

COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")
"""The operators that most languages of filters have."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metadata key, of which ``steps`` has several if it is nested, and one operand."""

    steps: tuple[str, ...]
    operator: str
    operand: JsonValue


@dataclass(frozen=True, slots=True)
class Combination:
    """Parts of which all, one or none must hold."""

    word: Literal["and", "or", "not"]
    parts: tuple[Comparison | Combination, ...]


def parts(filter: Filter, *, language: str, operators: Collection[str]) -> Combination:
    """A valid filter as an "and" of its parts.

    Operands are strings, numbers, bools, or lists of them. Raises InvalidFilterError for a filter
    that is not valid, and naming ``language`` for an operator beyond ``operators`` and for null.
    """
    compile_filter(filter)
    return Combination("and", tuple(_parts(filter, language, operators)))


def _parts(
    filter: Filter, language: str, operators: Collection[str]
) -> Iterator[Comparison | Combination]:
    for key, value in filter.items():
        if key in ("$and", "$or"):
            each = [Combination("and", tuple(_parts(f, language, operators))) for f in value]
            yield Combination("and" if key == "$and" else "or", tuple(each))
        elif key == "$not":
            below = tuple(_parts(value, language, operators))
            yield Combination("not", (Combination("and", below),))
        else:
            yield from _of_key(key, value, language, operators)


def _of_key(
    key: str, value: JsonValue, language: str, operators: Collection[str]
) -> Iterator[Comparison | Combination]:
    steps = name_of(key).steps
    for operator, operand in (value if isinstance(value, Mapping) else {"$eq": value}).items():
        if operator == "$not":
            below = tuple(_of_key(key, operand, language, operators))
            yield Combination("not", (Combination("and", below),))
            continue
        if operator not in operators:
            raise InvalidFilterError(
                f"{operator} of {shown(key)} has no counterpart in the filters of {language}: use "
                f"{', '.join(operators)}, $and, $or and $not"
            )
        listed = isinstance(operand, (list, tuple, set, frozenset))
        members = list(operand) if listed else [operand]
        if None in members:
            raise InvalidFilterError(
                f"{operator} of {shown(key)} has None, which the filters of {language} do not tell "
                "from a missing key: leave it out"
            )
        yield Comparison(steps, operator, members if listed else operand)

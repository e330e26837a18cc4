"""Metadata and filters of every kind, and what a filter means, as plain code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

PATHS = {
    "$.a": ["a"],
    '$."a.b"': ["a.b"],
    '$."$c"': ["$c"],
    "$.b.a": ["b", "a"],
    '$.b."a.b"': ["b", "a.b"],
    '$."b"."a"."\\u0000é"': ["b", "a", "\0é"],
    "$.b.missing": ["b", "missing"],
}
KEYS = st.sampled_from(["a", "b", "a.b", "$c"])
INNER_KEYS = st.sampled_from(["a", "a.b", "\0é"])
QUERIED = st.sampled_from(["a", "b", "a.b", "missing", *PATHS])
TEXTS = st.sampled_from(["", "1", "en", "En", "é", "e\u0301", "true", "a\0b", "a", "\U0001f600"])
NUMBERS = st.sampled_from([0, -0.0, 1, 1.0, 0.1, 0.30000000000000004, -5, 2**53, 2**53 + 1, 1e300])
SCALARS = st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER_KEYS, inner, max_size=2),
    max_leaves=5,
)
METADATA = st.dictionaries(
    KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3), NESTED), max_size=3
)
GLOBS = st.one_of(TEXTS, st.text("a1e*?[]!-\0é\U0001f600\\", max_size=5))
OPERATORS = st.one_of(
    st.fixed_dictionaries({}, optional={"$eq": SCALARS, "$ne": SCALARS, "$exists": st.booleans()}),
    st.dictionaries(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(TEXTS, NUMBERS), min_size=1
    ),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=4), min_size=1),
    st.fixed_dictionaries(
        {},
        optional={
            "$contains": SCALARS,
            "$all": st.lists(SCALARS, min_size=1, max_size=2),
            "$prefix": TEXTS,
            "$glob": GLOBS,
        },
    ),
).filter(bool)
FIELDS = st.dictionaries(
    QUERIED,
    st.one_of(SCALARS, OPERATORS, st.fixed_dictionaries({"$not": OPERATORS})),
    max_size=2,
)
FILTERS = st.recursive(
    FIELDS,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=6,
)


def kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def equals(value: Any, operand: Any) -> bool:
    members = value if isinstance(value, list) else [value]
    return any(kind(member) == kind(operand) and member == operand for member in members)


def globs(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(globs(text[i:], pattern[1:]) for i in range(len(text) + 1))
    if pattern[0] == "[" and (found := re.match(r"\[(!?+)(.[^\]]*)\]", pattern, re.DOTALL)):
        negated, members = found.groups()
        ranges = re.findall(r"(.)-(.)|(.)", members, re.DOTALL)
        inside = text[:1] and any(
            text[0] == one if one else low <= text[0] <= high for low, high, one in ranges
        )
        return (
            bool(text) and inside is not bool(negated) and globs(text[1:], pattern[found.end() :])
        )
    return text[:1] != "" and pattern[0] in ("?", text[0]) and globs(text[1:], pattern[1:])


def mappings(value: Any, listed: bool) -> Iterator[tuple[Mapping[str, Any], bool]]:
    if isinstance(value, Mapping):
        yield value, listed
    for member in value if isinstance(value, list) else []:
        yield from mappings(member, True)


def values(metadata: Mapping[str, Any], key: str) -> list[Any]:
    """The value, in a list; nothing for a missing key."""
    found: list[tuple[Any, bool]] = [(metadata, False)]
    for step in PATHS.get(key, [key]):
        found = [
            (mapping[step], through_list)
            for value, listed in found
            for mapping, through_list in mappings(value, listed)
            if step in mapping
        ]
    if not any(listed for _, listed in found):
        return [value for value, _ in found]
    return [
        [each for value, _ in found for each in (value if isinstance(value, list) else [value])]
    ]


def texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if kind(each) == "str"]


def holds(metadata: Mapping[str, Any], key: str, operator: str, operand: Any) -> bool:
    found = values(metadata, key)
    present = bool(found)
    value = found[0] if found else None
    if operator == "$contains":
        if isinstance(value, list):
            return equals(value, operand)
        return isinstance(value, str) and isinstance(operand, str) and operand in value
    if operator == "$all":
        return present and all(equals(value, each) for each in operand)
    if operator == "$prefix":
        return any(text.startswith(operand) for text in texts(value))
    if operator == "$glob":
        return any(globs(text, operand) for text in texts(value))
    if operator == "$exists":
        return present is operand
    if operator == "$not":
        return not all(holds(metadata, key, name, other) for name, other in operand.items())
    if operator in ("$eq", "$ne"):
        return (present and equals(value, operand)) is (operator == "$eq")
    if operator in ("$in", "$nin"):
        return (present and any(equals(value, one) for one in operand)) is (operator == "$in")
    if not present or kind(value) != kind(operand) or kind(value) not in ("number", "str"):
        return False
    return {
        "$gt": value > operand,
        "$gte": value >= operand,
        "$lt": value < operand,
        "$lte": value <= operand,
    }[operator]


def matches(metadata: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    for key, value in filter.items():
        if key == "$and":
            result = all(matches(metadata, part) for part in value)
        elif key == "$or":
            result = any(matches(metadata, part) for part in value)
        elif key == "$not":
            result = not matches(metadata, value)
        elif isinstance(value, Mapping):
            result = all(holds(metadata, key, name, operand) for name, operand in value.items())
        else:
            result = holds(metadata, key, "$eq", value)
        if not result:
            return False
    return True

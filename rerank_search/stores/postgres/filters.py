"""Filters as conditions of SQL on a column of JSONB.

A condition may be NULL where it does not hold, such as for a document without metadata; only NOT
has to know. JSONB keeps numbers as decimals, and a filter compares them as an index does: whole
numbers of 64 bits exactly, all others as floats.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import sql

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
from rerank_search.stores.postgres.exact_json import exact_json
from rerank_search.stores.postgres.globs import regular_expression
from rerank_search.stores.postgres.parameters import Parameters

FEW_VALUES = 8
"""Most values of which each is looked up in an index of the column; more are compared at once."""

_SMALL = 2**53
"""Bound of the whole numbers below which floats and decimals are the same."""

_LARGEST, _SMALLEST = sql.Literal(Decimal(2**1024 - 2**970)), sql.SQL("2.4703282292062328e-324")
"""Numbers from which on a float is infinite, and below which it is 0."""

_WALK = sql.SQL("""
WITH RECURSIVE walk(step, value, member) AS (
    SELECT 1, {metadata} -> ({steps})[1], FALSE
    UNION ALL
    SELECT further.* FROM walk CROSS JOIN LATERAL (
        SELECT walk.step + 1, walk.value -> ({steps})[walk.step + 1], walk.member
        WHERE jsonb_typeof(walk.value) = 'object'
        UNION ALL
        SELECT walk.step, item, TRUE FROM {members} AS each(item)
    ) AS further(step, value, member)
    WHERE walk.step < {last}
)
SELECT value, member FROM walk WHERE step = {last} AND value IS NOT NULL
UNION ALL
SELECT item, TRUE FROM walk CROSS JOIN {members} AS each(item) WHERE step = {last}
""")
"""The values of a path: a list on the way stands for its members."""

_MEMBERS = sql.SQL(
    "jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END)"
)

Test = Callable[[sql.Composable], sql.Composable]
"""Function from an expression of type jsonb to a condition."""


def condition(tree: FilterTree, metadata: sql.Composable, parameters: Parameters) -> sql.Composable:
    """The filter as a condition; ``metadata`` is an expression of type jsonb."""
    return _Translation(metadata, parameters).of(tree)


class _Translation:
    def __init__(self, metadata: sql.Composable, parameters: Parameters) -> None:
        self._metadata = metadata
        self._parameters = parameters

    def of(self, tree: FilterTree) -> sql.Composable:
        match tree:
            case And(members):
                return self._joined(" AND ", members, of_none="TRUE")
            case Or(members):
                return self._joined(" OR ", members, of_none="FALSE")
            case Not(member):
                return sql.SQL("({}) IS NOT TRUE").format(self.of(member))
        if any("\0" in step for step in tree.name.steps):
            return sql.SQL("FALSE")
        match tree:
            case OneOf(name, kind, values):
                if not name.is_nested and _is_contained(kind, values):
                    return self._contained(name, kind, values)
                return self._some(name, self._equal(kind, values))
            case Within(name, kind, bounds):
                return self._alone(name, self._within(kind, bounds))
            case HasMember(name, kind, value):
                return self._some(name, self._equal(kind, [value]), only="member AND ")
            case HasText(name, text):
                return self._alone(name, self._string("strpos({}, {}) > 0", text))
            case BeginsWith(name, text):
                return self._some(name, self._string("starts_with({}, {})", text))
            case Matches(name, pattern):
                return self._some(name, self._string("{} ~ {}", regular_expression(pattern)))
            case Exists(name) if name.is_nested:
                return self._some(name, lambda value: sql.SQL("TRUE"))
            case Exists(name):
                return sql.SQL("{} IS NOT NULL").format(self._value(name))

    def _joined(
        self, word: LiteralString, members: Sequence[FilterTree], *, of_none: LiteralString
    ) -> sql.Composable:
        if not members:
            return sql.SQL(of_none)
        conditions = [sql.SQL("({})").format(self.of(member)) for member in members]
        return sql.SQL(word).join(conditions)

    def _value(self, name: Name) -> sql.Composable:
        """The value of a top-level key."""
        key = self._parameters.text(name.steps[0])
        return sql.SQL("({} -> {})").format(self._metadata, key)

    def _alone(self, name: Name, test: Test) -> sql.Composable:
        """Whether the value meets the test, and is not in a list."""
        if name.is_nested:
            return self._some(name, test, only="NOT member AND ")
        return test(self._value(name))

    def _some(self, name: Name, test: Test, *, only: LiteralString = "") -> sql.Composable:
        """Whether the value, or a member of the list, meets the test."""
        if name.is_nested:
            steps = self._parameters.bind(list(name.steps), sql.SQL("text[]"))
            members = _MEMBERS.format(value=sql.Identifier("walk", "value"))
            rows = _WALK.format(
                metadata=self._metadata, steps=steps, members=members, last=len(name.steps)
            )
        else:
            value = self._value(name)
            rows = sql.SQL(
                "SELECT {}, FALSE UNION ALL SELECT item, TRUE FROM {} AS each(item)"
            ).format(value, _MEMBERS.format(value=value))
        return sql.SQL("EXISTS (SELECT 1 FROM ({}) AS found(value, member) WHERE {}{})").format(
            rows, sql.SQL(only), test(sql.Identifier("value"))
        )

    def _contained(self, name: Name, kind: str, values: Sequence[Any]) -> sql.Composable:
        """Equality as containment, for which the column may have an index."""
        tests = []
        for value in values:
            plain = {"null": None, "bool": bool(value)}.get(kind, value)
            for held in (plain, [plain]):
                document = json.dumps({name.steps[0]: held}, ensure_ascii=False)
                contained = self._parameters.bind(exact_json(document), sql.SQL("jsonb"))
                tests.append(sql.SQL("{} @> {}").format(self._metadata, contained))
        return sql.SQL("({})").format(sql.SQL(" OR ").join(tests))

    def _equal(self, kind: str, values: Sequence[Any]) -> Test:
        """Whether a value is one of these."""
        if kind == "string":
            texts = [value for value in values if "\0" not in value]
            known = self._parameters.bind(texts, sql.SQL("text[]"))
            return _text_that(lambda text: sql.SQL("{} = ANY ({})").format(text, known))
        if kind == "number":
            decimals = self._parameters.bind([*map(_decimal, values)], sql.SQL("numeric[]"))
            floats = self._parameters.bind([*map(_float, values)], sql.SQL("float8[]"))
            return _number_that(
                lambda number: sql.SQL("{} = ANY ({})").format(number, decimals),
                lambda number: sql.SQL("{} = ANY ({})").format(number, floats),
            )
        plain = [json.dumps(None if kind == "null" else bool(value)) for value in values]
        others = self._parameters.bind(plain, sql.SQL("jsonb[]"))
        return lambda value: sql.SQL("{} = ANY ({})").format(value, others)

    def _within(self, kind: str, bounds: Sequence[tuple[str, Any]]) -> Test:
        """Whether a value is within the bounds."""
        if kind == "string":
            ends = [(sign, self._parameters.text(end)) for sign, end in map(_without_nul, bounds)]
            return _text_that(lambda text: _compared(text, ends))
        if all(abs(end) < _SMALL for _, end in bounds):  # many times as quick as the general case
            plain = [
                (sign, self._parameters.bind(json.dumps(end), sql.SQL("jsonb")))
                for sign, end in bounds
            ]
            return lambda value: sql.SQL("jsonb_typeof({}) = 'number' AND {}").format(
                value, _compared(value, plain)
            )
        decimals = [
            (sign, self._parameters.bind(_decimal(end), sql.SQL("numeric"))) for sign, end in bounds
        ]
        floats = [
            (sign, self._parameters.bind(_float(end), sql.SQL("float8"))) for sign, end in bounds
        ]
        return _number_that(
            lambda number: _compared(number, decimals), lambda number: _compared(number, floats)
        )

    def _string(self, test: LiteralString, operand: str) -> Test:
        """Whether a string meets a test of the string and the operand."""
        if "\0" in operand:  # no string of JSONB has one
            return lambda value: sql.SQL("FALSE")
        given = self._parameters.text(operand)
        return _text_that(lambda text: sql.SQL(test).format(text, given))


def _text_that(test: Test) -> Test:
    """A test of a value's text, which only strings meet; texts compare by code point."""
    text = "({0} #>> '{{}}') COLLATE \"C\""
    return lambda value: sql.SQL("jsonb_typeof({}) = 'string' AND {}").format(
        value, test(sql.SQL(text).format(value))
    )


def _number_that(exact: Test, rounded: Test) -> Test:
    """A test of a value's number: as it is if it is whole and has 64 bits, else as a float."""
    return lambda value: sql.SQL("""
CASE WHEN jsonb_typeof({value}) IS DISTINCT FROM 'number' THEN FALSE
WHEN {number} BETWEEN -9223372036854775808 AND 9223372036854775807
AND {number} = trunc({number}) THEN {exact}
WHEN abs({number}) >= {largest} THEN {infinite}
WHEN abs({number}) < {smallest} THEN {zero}
ELSE {rounded} END
""").format(
        value=value,
        number=sql.SQL("({}::numeric)").format(value),
        exact=exact(sql.SQL("({}::numeric)").format(value)),
        largest=_LARGEST,
        infinite=rounded(sql.SQL("('Infinity'::float8 * sign({}::numeric)::float8)").format(value)),
        smallest=_SMALLEST,
        zero=rounded(sql.SQL("0::float8")),
        rounded=rounded(sql.SQL("({}::numeric::float8)").format(value)),
    )


def _compared(value: sql.Composable, ends: Sequence[tuple[str, sql.Composable]]) -> sql.Composable:
    signs: dict[str, LiteralString] = {sign: sign for sign in ("<", "<=", ">", ">=")}
    return sql.SQL(" AND ").join(
        [sql.SQL("{} {} {}").format(value, sql.SQL(signs[sign]), end) for sign, end in ends]
    )


def _is_contained(kind: str, values: Sequence[Any]) -> bool:
    """Whether containment in JSONB is the equality that a filter means."""
    if len(values) > FEW_VALUES:
        return False
    if kind == "number":
        return all(abs(value) < _SMALL for value in values)
    return kind != "string" or not any("\0" in value for value in values)


def _without_nul(bound: tuple[str, str]) -> tuple[str, str]:
    """The bound for strings without NUL: a string with one comes right after its beginning."""
    sign, end = bound
    beginning, nul, _ = end.partition("\0")
    return (sign[0] + "=" if sign[0] == "<" else ">", beginning) if nul else bound


def _decimal(value: float) -> Decimal:
    """The number for comparisons with whole numbers of 64 bits."""
    return Decimal(value) if math.isfinite(value) else Decimal(2**70).copy_sign(Decimal(value))


def _float(value: float) -> float:
    """The number for comparisons with all others, which no whole number of 64 bits equals."""
    if isinstance(value, float):
        return value
    bound = math.nextafter(2.0**63, 0.0)
    return min(max(float(value), -(2.0**63)), bound)

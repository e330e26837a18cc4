"""``--filter`` on the command line, parsed into a filter."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated

import typer

from rerank_search.corpora.lines import typed_value
from rerank_search.types import Filter, JsonValue

FilterOption = Annotated[
    list[str],
    typer.Option(
        metavar="KEY=VALUE",
        help="Take only documents with this metadata; also != < <= > >=, ~= for a "
        "pattern with *, or a JSON object. "
        "Repeatable: all of them must match.",
    ),
]

_CONDITION = re.compile(r"([^=<>!{}]+?)(>=|<=|!=|~=|=|>|<)(.*)", re.DOTALL)
_OPERATORS = {
    "=": "$eq",
    "!=": "$ne",
    "~=": "$glob",
    ">": "$gt",
    ">=": "$gte",
    "<": "$lt",
    "<=": "$lte",
}


def parsed_filter(arguments: Sequence[str]) -> Filter | None:
    """All conditions joined by "and"; None if there are none.

    A condition is ``key=value`` with ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or ``~=`` (a
    pattern with ``*``), or JSON such as ``{"year": {"$gte": 2020}}``. A value that looks like a
    number is a number, unless it is in double quotes. Raises typer.BadParameter for anything else.
    """
    conditions = [_condition(argument) for argument in arguments]
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return {"$and": conditions}


def _condition(argument: str) -> Filter:
    if argument.lstrip().startswith("{"):
        return _json_form(argument)
    match = _CONDITION.fullmatch(argument)
    if match is None:
        raise typer.BadParameter(
            f"--filter {argument:.200}: write key=value (or != < <= > >= ~=), or a JSON object"
        )
    key, operator, value = match.groups()
    text = value.strip()
    operand = _unquoted(text) if operator == "~=" else _value(text)
    return {key.strip(): {_OPERATORS[operator]: operand}}


def _json_form(argument: str) -> Filter:
    try:
        parsed: JsonValue = json.loads(argument)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--filter {argument:.200}: not valid JSON ({error})") from error
    return dict(parsed)


def _value(text: str) -> JsonValue:
    unquoted = _unquoted(text)
    return typed_value(text) if unquoted == text else unquoted


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return text[1:-1] if quoted else text

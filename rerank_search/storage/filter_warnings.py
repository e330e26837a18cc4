"""Warnings about filters that name a metadata key, or a kind of value, that no document has.

Such a filter is valid and exact, but nearly always a mistake: a misspelled or nested key, or a year
stored as text. Each check is one look-up in the index of attributes, or in ``path_values``, which
the caller has filled. Keys are listed only for a message, by jumping from one key to the next.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterator, Mapping

from rerank_search.shown import shown
from rerank_search.storage.attributes import kind_of
from rerank_search.storage.path_values import known_paths
from rerank_search.storage.paths import Name, name_of, written
from rerank_search.types import Filter

MOST_WARNINGS = 5
KEYS_SHOWN = 5

KEYS_LOOKED_AT = 1_000
"""Most keys among which similar ones are looked for: the first ones by code point.

For a path: most documents whose nested keys are looked at.
"""

_COMPARED_CHARACTERS = 50
_NOT_METADATA = ("id", "_id", "title", "text")
_KINDS = {
    "null": ("null", "null"),
    "bool": ("true or false", "true or false"),
    "number": ("a number", "numbers"),
    "string": ("a string", "strings"),
    "nested": ("a list or a mapping", "lists or mappings"),
}
"""Names of a kind of value, in the singular and in the plural."""

_KEYS = """
WITH RECURSIVE keys(key) AS (
    SELECT min(key) FROM attributes
    UNION ALL
    SELECT (SELECT min(key) FROM attributes WHERE key > keys.key) FROM keys
    WHERE keys.key IS NOT NULL
)
SELECT key FROM keys WHERE key IS NOT NULL LIMIT ?
"""


def filter_warnings(connection: sqlite3.Connection, filter: Filter) -> list[str]:
    """The first few conditions of a valid filter that no document can meet, as sentences."""
    found: list[str] = []
    known: list[str] | None = None
    unknown: set[str] = set()
    for key, kind in dict.fromkeys(_comparisons(filter)):
        if len(found) == MOST_WARNINGS:
            break
        if key in unknown:
            continue
        name = name_of(key)
        if not _has(connection, name):
            unknown.add(key)
            known = _keys(connection) if known is None else known
            if name.is_nested and name.steps[0] in known:
                paths = known_paths(connection, name, KEYS_LOOKED_AT)
                found.append(_unknown_path(key, name, paths))
            else:
                found.append(_unknown_key(key, known))
        elif kind is not None and not _has(connection, name, kind):
            kinds = [names for each, (_, names) in _KINDS.items() if _has(connection, name, each)]
            found.append(
                f"the filter compares {shown(key, 50)} with {_KINDS[kind][0]}, and no document "
                f"has one there: its values are {' or '.join(kinds)}"
            )
    return found


def _comparisons(filter: Filter) -> Iterator[tuple[str, str | None]]:
    """The keys of a filter, each with the kind of value that it is compared with."""
    for key, value in filter.items():
        if key in ("$and", "$or"):
            for part in value:
                yield from _comparisons(part)
        elif key == "$not":
            yield from _comparisons(value)
        else:
            yield from _of_key(key, value)


def _of_key(key: str, value: object) -> Iterator[tuple[str, str | None]]:
    if not isinstance(value, Mapping):
        yield key, kind_of(value)
        return
    for name, operand in value.items():
        if name == "$exists":
            yield key, None
        elif name == "$not":
            yield from _of_key(key, operand)
        elif name == "$all":
            yield from ((key, kind_of(member)) for member in operand)
        elif name in ("$in", "$nin"):
            # Only a few documents may have one of the kinds in a list, and that is normal.
            kinds = {kind_of(member) for member in operand}
            yield key, kinds.pop() if len(kinds) == 1 else None
        else:
            yield key, kind_of(operand)


def _has(connection: sqlite3.Connection, name: Name, kind: str | None = None) -> bool:
    where, parameters = ("", (name.key,)) if kind is None else (" AND kind = ?", (name.key, kind))
    query = f"SELECT EXISTS (SELECT 1 FROM {name.table} WHERE key = ?{where})"
    return bool(connection.execute(query, parameters).fetchone()[0])


def _keys(connection: sqlite3.Connection) -> list[str]:
    return [key for (key,) in connection.execute(_KEYS, (KEYS_LOOKED_AT + 1,))]


def _unknown_path(path: str, name: Name, known: list[str]) -> str:
    message = f"no document has the metadata path {shown(path, 50)}, which the filter names: "
    if not known:
        return f"{message}{shown(name.steps[0], 50)} has no keys inside it"
    return message + _nearest(path, known)


def _unknown_key(key: str, known: list[str]) -> str:
    message = f"no document has the metadata key {shown(key, 50)}, which the filter names: "
    parent, *inside = key.split(".")
    if inside and parent in known:
        path = written((parent, *inside))
        message += f"a key inside {shown(parent, 50)} is written {shown(path, 50)}; "
    elif key in _NOT_METADATA:
        message += "ids, titles and texts are not metadata; "
    if not known:
        return f"{message}no document has any metadata"
    return message + _nearest(key, known)


def _nearest(key: str, known: list[str]) -> str:
    nearest = sorted(known, key=lambda each: -_likeness(key, each))[:KEYS_SHOWN]
    listed = ", ".join(shown(each, 50) for each in nearest)
    others = len(known) - len(nearest)
    if others > 0:
        counted = f"more than {KEYS_LOOKED_AT:,}" if len(known) > KEYS_LOOKED_AT else f"{others:,}"
        listed += f" and {counted} others"
    return f"there are {listed}"


def _likeness(key: str, other: str) -> float:
    key, other = key[:_COMPARED_CHARACTERS].lower(), other[:_COMPARED_CHARACTERS].lower()
    return difflib.SequenceMatcher(None, key, other, autojunk=False).ratio()

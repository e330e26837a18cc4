"""Patterns of ``$glob`` as regular expressions of LanceDB's SQL, which are those of Rust."""

from __future__ import annotations

from rerank_search.storage.globs import OneCharacter, parts
from rerank_search.stores.attribute_keys import ESCAPED


def text_expression(pattern: str) -> str:
    """An expression that a whole text matches."""
    middle = "(?s:.*)".join("".join(map(_class, part)) for part in parts(pattern))
    return f"\\A{middle}\\z"


def value_expression(pattern: str) -> str:
    """An expression for the value of an attribute key, between other expressions."""
    return "[^\\x{1}]*".join("".join(map(_in_key, part)) for part in parts(pattern))


def _class(one: OneCharacter) -> str:
    """A character of a text."""
    if not one.ranges:
        return "(?s:.)" if one.negated else "[^\\x{0}-\\x{10FFFF}]"
    return f"[{'^' if one.negated else ''}{_ranges(one)}]"


def _in_key(one: OneCharacter) -> str:
    """A character as keys have it: the first ones are escaped."""
    escaped = [text for code, text in ESCAPED.items() if _allows(one, chr(code))]
    plain = f"[{_ranges(one)}&&[^\\x{{0}}-\\x{{5}}]]" if one.ranges else ""
    if one.negated:
        plain = f"[^\\x{{0}}-\\x{{5}}{_ranges(one)}]"
    ways = [*([plain] if plain else []), *escaped]
    return f"(?:{'|'.join(ways)})" if ways else _class(one)


def _ranges(one: OneCharacter) -> str:
    return "".join(f"\\x{{{ord(low):X}}}-\\x{{{ord(high):X}}}" for low, high in one.ranges)


def _allows(one: OneCharacter, character: str) -> bool:
    return any(low <= character <= high for low, high in one.ranges) != one.negated

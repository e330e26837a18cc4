"""Patterns of ``$glob`` as regular expressions of PostgreSQL."""

from __future__ import annotations

from rerank_search.storage.globs import OneCharacter, parts

LAST = chr(0x10FFFF)
"""The last character of Unicode."""


def regular_expression(pattern: str) -> str:
    """The pattern as an expression whose characters are all escaped."""
    found = ["".join(map(_one, part)) for part in parts(pattern)]
    return f"^(?:{'.*'.join(found)})$"


def _one(character: OneCharacter) -> str:
    # No string of JSONB has a NUL.
    ranges = [(max(low, "\1"), high) for low, high in character.ranges if high != "\0"]
    if not ranges:
        return "." if character.negated else f"[^{_escaped(chr(1))}-{_escaped(LAST)}]"
    listed = "".join(f"{_escaped(low)}-{_escaped(high)}" for low, high in ranges)
    return f"[{'^' if character.negated else ''}{listed}]"


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08X}"

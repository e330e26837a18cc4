"""Many conditions as one expression."""

from __future__ import annotations

from collections.abc import Sequence


def balanced(word: str, parts: Sequence[str]) -> str:
    """The parts, at least one, joined by a word: as a tree, since a long chain may fill a stack."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({balanced(word, parts[:middle])} {word} {balanced(word, parts[middle:])})"

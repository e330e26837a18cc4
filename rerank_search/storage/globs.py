"""Patterns of ``$glob``, read into their parts, and as regular expressions.

``*`` is any text, also none, ``?`` one character, ``[abc]``, ``[a-z]`` and ``[!abc]`` one of these
characters, or one that is not. A character is a Unicode code point of any kind, such as a newline.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TypeAlias

LONGEST_PATTERN = 1_000
"""Most characters of a pattern."""

_SPECIAL = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class OneCharacter:
    """One character in these ranges (first and last, inclusive), or in none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False


ANY = OneCharacter((), negated=True)
"""Any character."""

Part: TypeAlias = tuple[OneCharacter, ...]
"""The characters between two stars."""


def parts(pattern: str) -> list[Part]:
    """The parts of a pattern that its stars separate."""
    found: list[list[OneCharacter]] = [[]]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            found.append([])
        elif character == "?":
            found[-1].append(ANY)
        elif character == "[" and (end := _end_of_set(pattern, position)) is not None:
            found[-1].append(_set(pattern[position:end]))
            position = end + 1
        else:
            found[-1].append(OneCharacter(((character, character),)))
    return [tuple(part) for part in found]


def globbed(text: str, pattern: str) -> bool:
    """Whether all of the text matches the pattern."""
    return _compiled(pattern).fullmatch(text) is not None


def fixed_beginning(pattern: str) -> str:
    """The text with which everything that matches begins."""
    return _SPECIAL.split(pattern, maxsplit=1)[0]


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    expressions = ["".join(map(_expression, part)) for part in parts(pattern)]
    if len(expressions) == 1:
        return re.compile(expressions[0], re.DOTALL)
    first, *middle, last = expressions
    # Atomic groups: the first place where a part fits is as good as any later one, and without
    # them several stars would take exponential time.
    found = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)


def _expression(one: OneCharacter) -> str:
    if not one.ranges:  # such as [z-a]
        return "." if one.negated else "(?!)"
    low, high = one.ranges[0]
    if len(one.ranges) == 1 and low == high and not one.negated:
        return re.escape(low)
    ranges = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in one.ranges)
    return f"[{'^' if one.negated else ''}{ranges}]"


def _end_of_set(pattern: str, start: int) -> int | None:
    """The position of the closing bracket; one that comes first is a member. None if missing."""
    first = start + 1 if pattern.startswith("!", start) else start
    end = pattern.find("]", first + 1)
    return None if end == -1 else end


def _set(content: str) -> OneCharacter:
    negated = content.startswith("!")
    members = content[1:] if negated else content
    ranges = []
    position = 0
    while position < len(members):
        low = high = members[position]
        position += 1
        if members.startswith("-", position) and position + 1 < len(members):
            high = members[position + 1]
            position += 2
        if low <= high:
            ranges.append((low, high))
    return OneCharacter(tuple(ranges), negated)

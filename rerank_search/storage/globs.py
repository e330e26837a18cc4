"""Patterns of ``$glob`` as regular expressions.

``*`` is any text, also none, ``?`` one character, ``[abc]``, ``[a-z]`` and ``[!abc]`` one of these
characters, or one that is not. A character is a Unicode code point of any kind, such as a newline.
"""

from __future__ import annotations

import functools
import re

LONGEST_PATTERN = 1_000
"""Most characters of a pattern."""

_SPECIAL = re.compile(r"[*?\[]")


def globbed(text: str, pattern: str) -> bool:
    """Whether all of the text matches the pattern."""
    return _compiled(pattern).fullmatch(text) is not None


def fixed_beginning(pattern: str) -> str:
    """The text with which everything that matches begins."""
    return _SPECIAL.split(pattern, maxsplit=1)[0]


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _parts(pattern)
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    first, *middle, last = parts
    # Atomic groups: the first place where a part fits is as good as any later one, and without
    # them several stars would take exponential time.
    found = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)


def _parts(pattern: str) -> list[str]:
    """The regular expressions between the stars."""
    parts = [""]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            parts.append("")
        elif character == "?":
            parts[-1] += "."
        elif character == "[" and (end := _end_of_set(pattern, position)) is not None:
            parts[-1] += _set(pattern[position:end])
            position = end + 1
        else:
            parts[-1] += re.escape(character)
    return parts


def _end_of_set(pattern: str, start: int) -> int | None:
    """The position of the closing bracket; one that comes first is a member. None if missing."""
    first = start + 1 if pattern.startswith("!", start) else start
    end = pattern.find("]", first + 1)
    return None if end == -1 else end


def _set(content: str) -> str:
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
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:  # such as [z-a]
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"

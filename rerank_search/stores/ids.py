"""The ids of documents in engines whose ids are integers."""

from __future__ import annotations

LONG = range(-(2**63), 2**63)
"""The integers of 64 bits with a sign."""


def is_whole_id(id: str, among: range = LONG) -> bool:
    """Whether an id is one of these integers, as it is written."""
    try:
        return str(int(id)) == id and int(id) in among
    except ValueError:
        return False

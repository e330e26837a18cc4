"""The ids of documents in engines whose ids are integers."""

from __future__ import annotations


def is_whole_id(id: str) -> bool:
    """Whether an id is an integer of 64 bits, as it is written."""
    try:
        return str(int(id)) == id and -(2**63) <= int(id) < 2**63
    except ValueError:
        return False

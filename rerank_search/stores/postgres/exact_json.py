"""The metadata of a document as JSON that PostgreSQL reads as the same values."""

from __future__ import annotations

import re

_WRITTEN_SHORT = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+\d+')
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def exact_json(metadata: str) -> str:
    """The JSON with all digits of large floats, since JSONB keeps decimals.

    The float 1e+23 is another number than the decimal.
    """
    return _WRITTEN_SHORT.sub(_all_digits, metadata) if "e+" in metadata else metadata


def has_nul(metadata: str) -> bool:
    """Whether a string of the JSON has a NUL character, which JSONB cannot store."""
    return "\\u0000" in metadata and _NUL.search(metadata) is not None


def _all_digits(found: re.Match[str]) -> str:
    written = found.group()
    return written if written.startswith('"') else f"{int(float(written))}.0"

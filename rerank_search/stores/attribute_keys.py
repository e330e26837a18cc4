"""The metadata values of a document as text keys, for engines that can look texts up exactly.

A key has the name of a metadata key, a kind, whether it is a member of a list, and the value. Of
keys that begin alike, one with a larger value is larger, character by character: numbers are
written with a fixed length, and strings as they are. So equality is a whole key, ``$prefix`` the
beginning of one, and an order a range of keys.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from rerank_search.storage.attributes import attributes, nested_attributes
from rerank_search.storage.paths import Name
from rerank_search.types import JsonValue

PART = "\x02"
"""What stands between the parts of a key, and after its name."""

ESCAPED = {code: f"\x03{code:03b}".translate({48: 4, 49: 5}) for code in range(6)}
"""The first characters, which keys need for themselves, in a form that keeps their order.

Its own characters are among them, so that a part of a string is never found in it."""


def attribute_keys(metadata: Mapping[str, JsonValue]) -> list[str]:
    """The keys of a document, sorted."""
    rows = [
        *((_name(key, nested=False), *row) for key, *row in attributes(metadata)),
        *((_name(key, nested=True), *row) for key, *row in nested_attributes(metadata)),
    ]
    return sorted(
        _beginning(name, kind, member=member) + value_text(kind, value)
        for name, kind, value, member in rows
    )


def name_text(name: Name) -> str:
    """How all keys of that name begin."""
    return _name(name.key, nested=name.is_nested) + PART


def key_beginning(name: Name, kind: str, *, member: bool) -> str:
    """How keys of that name and kind begin, up to the value."""
    return _beginning(_name(name.key, nested=name.is_nested), kind, member=member)


def value_text(kind: str, value: Any) -> str:
    """The value of a key: a number in 19 characters, a string as it is, but for four characters."""
    if kind == "string":
        return str(value).translate(ESCAPED)
    return _number(value) if kind == "number" else str(value)


def _name(key: str, *, nested: bool) -> str:
    return f"{'p' if nested else 'k'}{key.translate(ESCAPED)}"


def _beginning(name: str, kind: str, *, member: bool) -> str:
    return f"{name}{PART}{kind}{PART}{int(member)}{PART}"


def _number(value: float) -> str:
    """The largest float that is not above the number, and the rest, which only integers have."""
    near = float(value)
    if near > value:
        near = math.nextafter(near, -math.inf)
    rest = 0 if math.isinf(near) else int(value) - int(near)
    if not isinstance(value, int):
        rest = 0
    [bits] = struct.unpack(">Q", struct.pack(">d", near + 0.0))  # -0.0 is 0.0
    bits = bits ^ (1 << 63) if bits < 1 << 63 else ~bits & (1 << 64) - 1
    return f"{bits:016x}{rest:03x}"

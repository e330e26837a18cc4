"""Short forms of values for messages and reprs, whatever the user has given."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import reprlib
from collections.abc import Mapping
from typing import Any

LONGEST = 100
"""Most characters of a value in a message."""

_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")


class _Shortened(reprlib.Repr):
    """``repr`` that reads and prints only the beginning of texts and collections."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxlong = self.maxother = most
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 5

    def repr_str(self, text: str, level: int) -> str:
        if len(text) <= self.maxstring:
            return repr(text)
        return f"{text[: self.maxstring]!r}... ({len(text):,} characters)"

    def repr_int(self, number: int, level: int) -> str:
        try:
            return super().repr_int(number, level)
        except ValueError:  # Python refuses to write integers of more than some thousand digits
            return f"<integer of {number.bit_length():,} bits>"

    def repr_dict(self, mapping: dict[Any, Any], level: int) -> str:
        """The repr of a mapping in its own order, since sorting a large one would take long."""
        if level <= 0:
            return "{...}" if mapping else "{}"
        members = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in itertools.islice(mapping.items(), self.maxdict)
        ]
        more = ["..."] if len(mapping) > self.maxdict else []
        return f"{{{', '.join(members + more)}}}"

    def repr_bytes(self, content: bytes, level: int) -> str:
        if len(content) <= self.maxstring:
            return repr(content)
        return f"{content[: self.maxstring]!r}... ({len(content):,} bytes)"


_shortened = functools.cache(_Shortened)  # making one costs more than most of its work


def shown(value: object, most: int = LONGEST) -> str:
    """``repr(value)``; for a text above ``most`` characters its beginning and its length.

    The result is short for every value: only the first few members of collections are shown.

    >>> shown("how do I join two paths", 8)
    "'how do I'... (23 characters)"
    """
    text = _shortened(most).repr(value)
    longest = 4 * most + 40  # members add up, and escapes take several characters each
    return text if len(text) <= longest else f"{text[:longest]}..."


def on_one_line(text: str) -> str:
    """The text with one space for each run of blanks and control characters.

    Terminals execute some of these: a document must not colour the terminal or set its title.

    >>> on_one_line("red:\\x1b[31m\\tnext\\nline")
    'red: [31m next line'
    """
    return " ".join(text.translate(_CONTROLS).split())


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number of things; ``several`` is the plural if it is not ``one`` with an s.

    >>> counted(1, "query", "queries"), counted(2_000, "hit")
    ('1 query', '2,000 hits')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def described(name: str, /, **fields: object) -> str:
    """A short repr such as ``Client('http://127.0.0.1:8000', index='docs')``.

    >>> described("Hit", id="os.path.join", score=3.5)
    "Hit(id='os.path.join', score=3.5)"
    """
    return f"{name}({', '.join(f'{key}={shown(value)}' for key, value in fields.items())})"


def bounded_repr(value: Any) -> str:
    """The ``__repr__`` of a dataclass whose fields may hold whole documents."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return described(type(value).__name__, **fields)


def reason(problem: Mapping[str, Any]) -> str:
    """The message of a problem that pydantic found, without its "Value error, "."""
    return str(problem["msg"]).removeprefix("Value error, ")

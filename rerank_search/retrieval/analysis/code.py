"""Words of source code: the analyzer ``code``, for identifiers, versions and product numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from rerank_search.retrieval.analysis import grams
from rerank_search.retrieval.analysis.analyzer import Analyzer
from rerank_search.retrieval.folding import Folding

_JOINED = 4
"""Most neighbouring words of a query that are also searched as one: "get user name"."""

_SHORT_QUERY = 12
"""Most words of a query in which neighbours are joined; names have no more."""

_LONGEST_VERSION = 4
"""Most numbers of a version whose beginnings are terms too: 3.11 and 3 of 3.11.4."""

_LONGEST_REMEMBERED = 60
"""Most letters of a word whose spellings are remembered."""

_HUMP = "^"
"""Stands where a capital begins a part, so that getUserName is not getusername."""

_APOSTROPHES_AND_HYPHENS = {"’": "'", "\u2010": "-", "\u2011": "-"}


def _kept() -> dict[str, str]:
    """Characters that folding must leave in ASCII as they are: capitals and marks split words."""
    capitals = {
        chr(code): unicodedata.normalize("NFD", chr(code))[0] for code in range(0xC0, 0x250)
    }
    return {
        **{chr(code): chr(code) for code in range(128)},
        **{given: bare for given, bare in capitals.items() if given.isupper() and bare.isascii()},
        **_APOSTROPHES_AND_HYPHENS,
    }


_FOLDING = Folding(becomes=_kept())

_LETTER = "[0-9A-Za-z\x80-\U0010ffff]"  # folded text has no other characters beyond ASCII
_WORD = re.compile(
    r"(?:(?<![\w.)\]])\.(?=[A-Za-z]))?+"  # .NET, .gitignore
    rf"(?:(?<!_)_++)?+{_LETTER}++(?:(?:_++|::|[-.'&]){_LETTER}++)*+_*+"
    r"(?:\+\+(?![A-Za-z_+])|\#(?![\w#]))?+"  # C++, C++17, C#
)
_PART = re.compile(
    r"[0-9]+(?:\.[0-9]+)++|[0-9]+|[A-Z]{2,}s(?![A-Za-z])|[A-Z]+(?![a-z])"
    "|[A-Z]?[a-z\x80-\U0010ffff]+"
)
_OPERATOR = re.compile(r"[!-/:-@\[-`{-~]+")


def _prepared(text: str) -> str:
    """The words of a document, whole and in parts."""
    folded = text if text.isascii() else grams.of_document(_FOLDING(text))
    words = _WORD.findall(folded)
    return " ".join(_spelled(words)) if words else _operators(folded)


def _asked(text: str) -> str:
    """The words of a query, whole and in parts, and its neighbouring words as one."""
    folded = text if text.isascii() else grams.of_query(_FOLDING(text))
    words = _WORD.findall(folded)
    if not words:
        return _operators(folded)
    joined = _neighbours(words) if 1 < len(words) <= _SHORT_QUERY else ()
    return " ".join([*_spelled(words), *joined])


def _operators(folded: str) -> str:
    """The operators of a text that has nothing else."""
    return " ".join(_OPERATOR.findall(folded))


def _neighbours(words: list[str]) -> Iterator[str]:
    joined = ["".join(_parts(word)) for word in words]
    for size in range(2, _JOINED + 1):
        for start in range(len(words) - size + 1):
            yield "".join(joined[start : start + size])


def _spellings(word: str) -> str:
    """A word as it is written, its parts as one, and each part.

    >>> _spellings("getUserName"), _spellings("AB-12")
    ('get^user^name getusername get user name', 'ab-12 ab12 ab 12')
    """
    parts = _parts(word)
    written = parts[0] if len(parts) == 1 and parts[0] == word.lower() else _written(word)
    found = [written, "".join(parts), *parts]
    for part in parts:
        if "." in part:
            found += _beginnings(part)
        elif 1 < len(name := part.rstrip("+#")) < len(part):  # Notepad++, but not C of C++
            found.append(name)
    return " ".join(dict.fromkeys(found))


_remembered = lru_cache(maxsize=50_000)(_spellings)
"""Memory of the spellings of words, because the same words come again and again."""


def _spelled(words: list[str]) -> Iterator[str]:
    for word in words:
        yield _remembered(word) if len(word) <= _LONGEST_REMEMBERED else _spellings(word)


def _parts(word: str) -> list[str]:
    """The parts of a word, in small letters; the last keeps its ++ or #."""
    name = word.rstrip("+#")
    parts = [part.lower() for part in _PART.findall(name)]
    parts[-1] += word[len(name) :]
    return parts


def _written(word: str) -> str:
    """A word in small letters, with a sign where a capital begins a part."""
    found, end = [], -1
    for part in _PART.finditer(word):
        hump = part.start() == end and part[0][0].isalpha() and word[end - 1].isalpha()
        found.append(_HUMP if hump else word[max(end, 0) : part.start()])
        found.append(part[0])
        end = part.end()
    return ("".join(found) + word[end:]).lower()


def _beginnings(version: str) -> list[str]:
    numbers = version.split(".")
    if len(numbers) > _LONGEST_VERSION:
        return []
    return [".".join(numbers[:size]) for size in range(len(numbers) - 1, 0, -1)]


CODE = Analyzer("code", prepared=_prepared, asked=_asked, ascii="never")
"""Identifiers, versions and product numbers, whole and in parts; words in comments too."""

"""Words of source code: the analyzer ``code``, for identifiers, versions and product numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby

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
_NAME = (
    r"(?:(?<![\w.)\]])\.(?=[A-Za-z]))?+"  # .NET, .gitignore
    rf"(?:(?<!_)_++)?+{_LETTER}++(?:(?:_++|::|[-.'&]){_LETTER}++)*+_*+"
)
_WORD = re.compile(_NAME + r"(?:\+\+(?![A-Za-z_+])|\#(?![^\W\d]|\#))?+")  # C++17, C#10
# The names with 2 are those of version 2.
_WORD_2 = re.compile(_NAME + r"(?:\+\+(?![A-Za-z_+])|\#(?![\w#]))?+")
_NUMBER = r"[0-9]+(?:\.[0-9]+)++|[0-9]+"
_PART = re.compile(
    rf"{_NUMBER}|[A-Z]{{2,}}+s(?![a-z])|[A-Z]++(?=v[0-9])|[A-Z]+(?![a-z])"  # URLs, TLSv1.3, HTTP
    "|[A-Z]?[a-z\x80-\U0010ffff]+"
)
_PART_2 = re.compile(
    rf"{_NUMBER}|[A-Z]{{2,}}s(?![A-Za-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z\x80-\U0010ffff]+"
)
_OPERATOR = re.compile(r"[!-/:-@\[-`{-~]+")


class _Spelling:
    """How words are found and spelled in one version of the analyzer.

    ``further`` adds the singular of URLs, and the letters of HTTPServer2 without the number.
    """

    def __init__(
        self, word: re.Pattern[str], part: re.Pattern[str], *, further: bool = True
    ) -> None:
        self._word = word
        self._part = part
        self._further = further
        # The same words come again and again.
        self._remembered = lru_cache(maxsize=50_000)(self.spellings)

    def prepared(self, text: str) -> str:
        """The words of a document, whole and in parts."""
        folded = text if text.isascii() else grams.of_document(_FOLDING(text))
        words = self._word.findall(folded)
        return " ".join(self._spelled(words)) if words else _operators(folded)

    def asked(self, text: str) -> str:
        """The words of a query, whole and in parts, and its neighbouring words as one."""
        folded = text if text.isascii() else grams.of_query(_FOLDING(text))
        words = self._word.findall(folded)
        if not words:
            return _operators(folded)
        joined = self._neighbours(words) if 1 < len(words) <= _SHORT_QUERY else ()
        return " ".join([*self._spelled(words), *joined])

    def spellings(self, word: str) -> str:
        """A word as it is written, its parts as one, and each part.

        getUserName gives "get^user^name getusername get user name", and AB-12 "ab-12 ab12 ab 12".
        """
        parts = self._parts(word)
        written = self._written(word)
        if len(parts) == 1 and parts[0] == word.lower():
            written = parts[0]
        found = [written, "".join(parts), *parts]
        for part in parts:
            if "." in part:
                found += _beginnings(part)
            elif 1 < len(name := part.rstrip("+#")) < len(part):  # Notepad++, but not C of C++
                found.append(name)
        if self._further:
            found += [*_singulars(self._part.findall(word)), *_names(parts)]
        return " ".join(dict.fromkeys(found))

    def _spelled(self, words: Iterable[str]) -> Iterator[str]:
        for word in words:
            short = len(word) <= _LONGEST_REMEMBERED
            yield self._remembered(word) if short else self.spellings(word)

    def _neighbours(self, words: list[str]) -> Iterator[str]:
        joined = ["".join(self._parts(word)) for word in words]
        for size in range(2, _JOINED + 1):
            for start in range(len(words) - size + 1):
                yield "".join(joined[start : start + size])

    def _parts(self, word: str) -> list[str]:
        """The parts of a word, in small letters; the last keeps its ++ or #."""
        name = word.rstrip("+#")
        parts = [part.lower() for part in self._part.findall(name)]
        parts[-1] += word[len(name) :]
        return parts

    def _written(self, word: str) -> str:
        """A word in small letters, with a sign where a capital begins a part."""
        found, end = [], -1
        for part in self._part.finditer(word):
            hump = part.start() == end and part[0][0].isalpha() and word[end - 1].isalpha()
            found.append(_HUMP if hump else word[max(end, 0) : part.start()])
            found.append(part[0])
            end = part.end()
        return ("".join(found) + word[end:]).lower()


def _operators(folded: str) -> str:
    """The operators of a text that has nothing else."""
    return " ".join(_OPERATOR.findall(folded))


def _beginnings(version: str) -> list[str]:
    numbers = version.split(".")
    if len(numbers) > _LONGEST_VERSION:
        return []
    return [".".join(numbers[:size]) for size in range(len(numbers) - 1, 0, -1)]


def _singulars(parts: list[str]) -> list[str]:
    """URL of URLs, but not I of Is; the parts have their capitals."""
    plurals = (part for part in parts if part[-1] == "s" and part[:-1].isupper() and len(part) > 2)
    return [part[:-1].lower() for part in plurals]


def _names(parts: list[str]) -> list[str]:
    """The parts between numbers, as one."""
    runs = [
        list(run) for digits, run in groupby(parts, lambda part: part[0].isdigit()) if not digits
    ]
    return ["".join(run) for run in runs if 1 < len(run) < len(parts)]


_NOW, _IN_VERSION_2 = _Spelling(_WORD, _PART), _Spelling(_WORD_2, _PART_2, further=False)

CODE = Analyzer(
    "code",
    prepared=_NOW.prepared,
    asked=_NOW.asked,
    ascii="never",
    version=3,
    before=Analyzer(
        "code", prepared=_IN_VERSION_2.prepared, asked=_IN_VERSION_2.asked, ascii="never"
    ),
)
"""Identifiers, versions and product numbers, whole and in parts; words in comments too."""

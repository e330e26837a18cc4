"""Words as they are compared: in one Unicode form, one case and without accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

LONGEST_RUN = 30
"""Most marks read after one letter (UAX #15, Stream-Safe Text Format).

``unicodedata.normalize`` sorts the marks of a letter in quadratic time.
"""

_LETTERS = frozenset("йїўѓќЙЇЎЃЌؤئ")
"""Separate letters that Unicode treats as accented ones: мой is "my", and мои its plural."""

_APOSTROPHES = "ʹʻʼʽʾʿꞋꞌ"
"""Letters in Unicode that writers replace by ' or leave out: Hawaiʻi, п'ять, Qurʾān, ʿAlī."""

_TATWEEL = "ـ"
"""A character that makes an Arabic word wider and has no meaning."""

# Characters with the property Default_Ignorable_Code_Point: soft hyphens, joiners, directions,
# variants.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]+"
)
# Thai, Lao, Burmese and Khmer have no spaces; some writers put zero-width ones between words.
_WORD_BREAK = re.compile("(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b")
# Tone marks and viramas of the same scripts. A clause in them has no spaces, and could never be
# found as one term, so that english and plain cut it at these marks. Other analyzers use n-grams.
_CLAUSE_BREAK = re.compile(
    "[\u0e47-\u0e4c\u0e4e\u0eba\u0ec8-\u0ecc\u0ece\u1037\u1039\u103a\u17c9-\u17d3\u17dd]+"
)
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_ASCII_BREAKS = re.compile("[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+")
_ASCII = {code: " " for code in range(128) if not chr(code).isalnum()}
# Characters that may be marks: Unicode counts two halfwidth marks of Japanese as letters.
_LONG_RUN = re.compile(rf"(?:[^\w\s]|[\uff9e\uff9f]){{{LONGEST_RUN + 1},}}+")


def nfkc(text: str) -> str:
    """``text`` in NFKC, in linear time, with at most ``LONGEST_RUN`` marks in a row kept."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _LONG_RUN.sub(_shortened, text))


def folded(text: str) -> str:
    """The words of ``text``, casefolded and without accents, with spaces between them.

    Words are runs of letters, digits and the marks that belong to letters; ASCII keeps its case.
    Invisible characters (soft hyphens, joiners, byte order marks) are dropped. So are marks that
    writers may leave out: accents, stress, the points of Hebrew and Arabic. Marks that make another
    word are kept: vowel signs, viramas and nuktas, the voicing of Japanese. Thai, Lao, Burmese and
    Khmer are cut at their tone marks and viramas.
    """
    if not text.isascii():
        text = _BEYOND_ASCII.sub(_of_run, text)
    return text.translate(_ASCII) if text.isascii() else _ASCII_BREAKS.sub(" ", text)


def _of_run(run: re.Match[str]) -> str:
    found = run.group()
    return _of_word(found) if len(found) <= LONGEST_RUN else _of_characters(found)


def _of_characters(run: str) -> str:
    seen = nfkc(_INVISIBLE.sub("", _WORD_BREAK.sub(" ", run)))
    seen = _CLAUSE_BREAK.sub(" ", seen)
    return unicodedata.normalize("NFC", seen.translate(_FOLDED))


_of_word = lru_cache(maxsize=50_000)(_of_characters)
"""Memory of folded words, because the same words come again and again."""


def _shortened(run: re.Match[str]) -> str:
    kept, marks = [], 0
    for character in run.group():
        marks = marks + 1 if _may_be_sorted(character) else 0
        if marks <= LONGEST_RUN:
            kept.append(character)
    return "".join(kept)


def _may_be_sorted(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or character in "\uff9e\uff9f"


class Folding:
    """``folded`` for texts of one language, or of any.

    ``letters`` are those that keep their marks in this language, such as ä in Finnish. Letters like
    ł and ø, which Unicode does not count as marked ones, are written in ASCII unless they are among
    ``letters``. ``becomes`` gives what single characters become, such as the small letters of
    capitals if those of this language differ. Thai, Lao, Burmese and Khmer are not cut.
    """

    def __init__(self, letters: str = "", *, becomes: Mapping[str, str] | None = None) -> None:
        self._table = _Folded(_LETTERS | {*letters, *letters.upper()}, ascii=True)
        self._table.update(str.maketrans({**(becomes or {})}))
        self._keeps_ascii = not becomes

    def __call__(self, text: str) -> str:
        """The words of ``text``, with spaces between them; ASCII may keep its case."""
        if self._keeps_ascii and text.isascii():
            return text.translate(_ASCII)
        seen = nfkc(_INVISIBLE.sub("", _WORD_BREAK.sub(" ", text)))
        return unicodedata.normalize("NFC", seen.translate(self._table))


class _Folded(dict[int, str]):
    """A table for ``str.translate`` that computes the replacement of each character once."""

    def __init__(self, letters: frozenset[str], *, ascii: bool = False) -> None:
        self._letters = letters
        self._ascii = ascii

    def __missing__(self, code: int) -> str:
        found = _folded(chr(code), self._letters)
        if self._ascii and found not in self._letters:
            found = _in_ascii(found)
        self[code] = found
        return found


def _folded(character: str, letters: frozenset[str]) -> str:
    kind = unicodedata.category(character)
    if kind == "Me" or character == _TATWEEL:
        return ""
    if kind[0] not in "LNM" or character in _APOSTROPHES:
        return " "
    if character in letters:
        return character.casefold()
    parts = unicodedata.normalize("NFD", character)
    bare = "".join(part for part in parts if not _accent(part))
    return unicodedata.normalize("NFC", bare).casefold()


def _accent(character: str) -> bool:
    """Whether a mark may be left out, by its class: 10 to 36 are points, 200 and above accents."""
    place = unicodedata.combining(character)
    return place == 1 or 10 <= place <= 36 or place >= 200


def _in_ascii(character: str) -> str:
    import tantivy

    words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw())
    return "".join(words.filter(tantivy.Filter.ascii_fold()).build().analyze(character))


_FOLDED = _Folded(_LETTERS)

"""Where a text may be cut, in any language: between sentences, words and characters."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

# Thai and Lao have no full stop: writers put a space between clauses. The space beside a repetition
# or abbreviation mark (ๆ ฯ ໆ ຯ) belongs to that mark.
_CLAUSE_END = (
    "[\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e45\u0e47-\u0e4e"
    "\u0e81-\u0eae\u0eb0-\u0ebd\u0ec0-\u0ec4\u0ec8-\u0ece\u0edc-\u0edf]"
)
_CLAUSE_START = "[\u0e01-\u0e2e\u0e40-\u0e44\u0e81-\u0eae\u0ec0-\u0ec4\u0edc-\u0edf]"

FULL_STOPS = "。！？｡؟۔।॥။។៕።፧։།༎"
"""Ends of sentences that need no space after them.

Chinese and Japanese, Arabic and Urdu, Devanagari and its neighbours, Burmese, Khmer, Ethiopic,
Armenian, Tibetan.
"""

# Possessive, and tried only from the first mark of a run: a run of 20,000 dots took seconds.
SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+\s++"""
    rf"""|[{FULL_STOPS}]++["'”’»)\]）」』】》〉\ufe00\ufe01]*+\s*+"""
    rf"""|{_CLAUSE_END}["'”’»)\]]*+\s++(?=["'“‘«(\[]*+{_CLAUSE_START})"""
    r"""|\n[^\S\n]*+\n\s*+"""
)

CLAUSE_MARKS = frozenset("，、；：､၊፣፤")
"""Commas that no space follows: a sentence that is too long is cut after one."""

_PIECE = 3
"""Characters counted as a word in Thai, Lao, Khmer and Burmese, which have no spaces."""

_CHARACTER = r"\X\p{M}*+"
"""A letter, its marks, the parts of an emoji (UAX #29), and vowel signs that UAX #29 leaves out."""

LONGEST_CHARACTER = 32
"""Code points above which a written character (a letter and its marks) may be cut."""

_SIMPLE = re.compile("[\0-\u02ff\u2010-\u205f]*+")
"""Latin letters and punctuation, where each code point is a whole character."""

_SIMPLE_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[tuple[int, int]]:
    """Words and punctuation marks, which replace tokens if there is no encoder.

    A Chinese or Japanese character counts as a word, and so do three characters of Thai, Lao, Khmer
    or Burmese. Marks belong to their letter.
    """
    pattern = _SIMPLE_WORD if _SIMPLE.fullmatch(text) else _word()
    return [match.span() for match in pattern.finditer(text)]


def word_count(text: str) -> int:
    """The number of words between spaces, and of ``words`` in scripts without spaces."""
    between = len(text.split())
    return between if _SIMPLE.fullmatch(text) else max(between, len(_unspaced().findall(text)))


def characters(text: str, start: int, end: int) -> list[int]:
    """The ends of the characters in a part of a text, each with all its marks."""
    return [match.end() for match in _character().finditer(text, start, end)]


def beginning(text: str, most: int) -> str:
    """The beginning of a text: at most ``most`` code points, and no character cut."""
    at = min(most, len(text))
    least = max(0, at - LONGEST_CHARACTER)
    return text[: next((cut for cut in range(at, least, -1) if not cuts_character(text, cut)), at)]


def cuts_character(text: str, at: int) -> bool:
    """Whether a cut at ``at`` separates a letter from its marks, or the parts of an emoji."""
    if at == 0 or text[at - 1 : at + 1].isascii():
        return False
    before = max(0, at - LONGEST_CHARACTER)
    return at not in characters(text, before, at + 1)


@cache
def _character() -> regex.Pattern[str]:
    import regex  # takes 40 ms

    return regex.compile(_CHARACTER)


_UNSPACED = r"\p{lb=SA}\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー"
_UNSPACED_WORD = rf"(?:(?=\p{{lb=SA}}){_CHARACTER}){{1,{_PIECE}}}|(?=[{_UNSPACED}]){_CHARACTER}"


@cache
def _unspaced() -> regex.Pattern[str]:
    import regex

    return regex.compile(_UNSPACED_WORD, regex.V1)


@cache
def _word() -> regex.Pattern[str]:
    import regex

    spaced = rf"[\p{{L}}\p{{N}}_]--[{_UNSPACED}]"
    return regex.compile(
        rf"{_UNSPACED_WORD}"
        rf"|[{spaced}][[{spaced}]\p{{M}}\p{{GCB=Extend}}\p{{GCB=SpacingMark}}\u200d]*+"
        rf"|(?![\s\x1c-\x1f]){_CHARACTER}",  # Python counts these four as spaces too
        regex.V1,
    )

"""The language of a text, by its script and its most frequent words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from rerank_search.frequent_words import FREQUENT_WORDS, OWN_LETTERS

MOST_CHARACTERS = 450
"""Characters of a text that are read: all of a short text, and three parts of a long one."""

LEAST_LETTERS = 3
"""Fewest letters of a script that tell the language."""

LEAST_FOUND = 2
"""Fewest frequent words, or letters of few languages, that tell the language."""

LEAST_SHARE = 0.1
"""Least share of them in a text of their language; names and code have fewer."""

LEAST_LEAD = 0.02
"""Least share of them that a language has more than the next one."""

_LONG = 4
"""Characters from which on a word of only one language is hardly ever a name, or part of code."""

_LEAST_KANA = 10
"""Japanese has at least one kana in so many characters, and Chinese none."""

_HAN, _LATIN, _CYRILLIC, _ARABIC, _DEVANAGARI = "zh", "Latn", "Cyrl", "Arab", "Deva"
_SHARED = frozenset({_LATIN, _CYRILLIC, _ARABIC, _DEVANAGARI})
"""Scripts of several languages."""

_WEIGHTS: Mapping[str | None, int] = {_LATIN: 1, _HAN: 4, "ja": 4, "ko": 4}
"""Weight of a letter, 2 if not named.

Latin names are common in texts of all scripts, and words of East Asian scripts are short.
"""

_RANGES = (
    (0x0041, 0x024F, _LATIN),
    (0x0370, 0x03FF, "el"),
    (0x0400, 0x052F, _CYRILLIC),
    (0x0530, 0x058F, "hy"),
    (0x0590, 0x05FF, "he"),
    (0x0600, 0x077F, _ARABIC),
    (0x0900, 0x097F, _DEVANAGARI),
    (0x0980, 0x09FF, "bn"),
    (0x0A00, 0x0A7F, "pa"),
    (0x0A80, 0x0AFF, "gu"),
    (0x0B00, 0x0B7F, "or"),
    (0x0B80, 0x0BFF, "ta"),
    (0x0C00, 0x0C7F, "te"),
    (0x0C80, 0x0CFF, "kn"),
    (0x0D00, 0x0D7F, "ml"),
    (0x0D80, 0x0DFF, "si"),
    (0x0E00, 0x0E7F, "th"),
    (0x0E80, 0x0EFF, "lo"),
    (0x0F00, 0x0FFF, "bo"),
    (0x1000, 0x107F, "my"),
    (0x1080, 0x10FF, "ka"),
    (0x1100, 0x11FF, "ko"),
    (0x1200, 0x139F, "am"),
    (0x1780, 0x17FF, "km"),
    (0x1E00, 0x1EFF, _LATIN),
    (0x1F00, 0x1FFF, "el"),
    (0x3040, 0x30FF, "ja"),
    (0x3130, 0x318F, "ko"),
    (0x3400, 0x9FFF, _HAN),
    (0xAC00, 0xD7FF, "ko"),
    (0xF900, 0xFAFF, _HAN),
    (0xFB50, 0xFDFF, _ARABIC),
    (0xFE70, 0xFEFF, _ARABIC),
)
"""Blocks of Unicode, with their script, or with the language of a script that only it uses."""

OF_OWN_SCRIPT = {script for *_, script in _RANGES} - _SHARED
"""Codes of the languages that their script tells."""

# Words end at spaces, digits, punctuation and symbols. Unlike \w this keeps vowel signs.
_WORD = re.compile(
    "[^\\s\\d\x00-\x40\x5b-\x5e\x60\x7b-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u02b0-\u0360"
    "\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u2000-\u2bff\u3000-\u303f\ufe30-\ufe6f"
    "\uff00-\uff20]+"
)
_BEYOND_LATIN = re.compile("[\u0370-\u1dff\u1f00-\u1fff\u3040-\ufdff\ufe70-\ufeff]")
_BEYOND_ARABIC = re.compile("[\u0679-\u06ff]")
_KANA = re.compile("[\u3040-\u30ff]")
_OWN_LETTER = re.compile(f"[{''.join(OWN_LETTERS)}]")


def language_of(text: str) -> str | None:
    """The language of most of a text, as its ISO 639-1 code; None where that is unsure.

    That is so for texts that are too short, for numbers and code, and for languages that this
    module does not know. Norwegian is ``no``, in both of its written forms.

        >>> language_of("Wie viele Punkte gab die Verteidigung ab?")
        'de'
    """
    sample = _sample(text).lower()
    words = _WORD.findall(sample)
    script = _script(words) if _BEYOND_LATIN.search(sample) else _LATIN
    if script == _ARABIC and not _BEYOND_ARABIC.search(sample):
        return "ar"
    if script in _SHARED:
        return _by_words(words, _OWN_LETTER.findall(sample))
    if script == _HAN and len(_KANA.findall(sample)) * _LEAST_KANA > len("".join(words)):
        return "ja"
    return script


def _sample(text: str) -> str:
    """The text, or its beginning, middle and end if it is long."""
    if len(text) <= MOST_CHARACTERS:
        return text
    part = MOST_CHARACTERS // 3
    middle = (len(text) - part) // 2
    return f"{text[:part]} {text[middle : middle + part]} {text[-part:]}"


def _script(words: Sequence[str]) -> str | None:
    """The script of most letters, or its only language; None if there are too few."""
    letters: dict[str | None, int] = {}
    scripts = _scripts()
    for block, count in Counter(ord(letter) >> 4 for word in words for letter in word).items():
        script = scripts.get(block)
        letters[script] = letters.get(script, 0) + count * _WEIGHTS.get(script, 2)
    most = max(letters, key=letters.__getitem__, default=None)
    return None if most is None or letters[most] < LEAST_LETTERS else most


def _by_words(words: Sequence[str], letters: Sequence[str]) -> str | None:
    """The language whose frequent words and own letters these are."""
    found = dict.fromkeys(FREQUENT_WORDS, 0)
    by_word, by_letter = _languages_by_word(), _languages_by_letter()
    for word in words:
        for language in by_word.get(word, ()):
            found[language] += 1
    for letter in letters:
        for language in by_letter[letter]:
            found[language] += 1
    best, second = sorted(found.values(), reverse=True)[:2]
    if best < max(LEAST_FOUND, LEAST_SHARE * len(words)):
        return None
    if best - second < max(1, LEAST_LEAD * len(words)):
        return None
    return max(found, key=found.__getitem__)


@cache
def _scripts() -> dict[int, str]:
    return {
        block: script
        for first, last, script in _RANGES
        for block in range(first >> 4, (last >> 4) + 1)
    }


@cache
def _languages_by_word() -> dict[str, list[str]]:
    """The languages of each frequent word; twice if a long word has only one."""
    languages: dict[str, list[str]] = {}
    for language, words in FREQUENT_WORDS.items():
        for word in dict.fromkeys(words.split()):
            languages.setdefault(word, []).append(language)
    return {
        word: 2 * using if len(using) == 1 and len(word) >= _LONG else using
        for word, using in languages.items()
    }


@cache
def _languages_by_letter() -> dict[str, list[str]]:
    return {letter: languages.split() for letter, languages in OWN_LETTERS.items()}

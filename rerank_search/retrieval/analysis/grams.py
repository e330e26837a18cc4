"""Words of scripts without spaces: parts of a fixed number of letters (n-grams)."""

from __future__ import annotations

import re

_PAIRS = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"  # Han
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # Kana
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"  # Hangul
)
"""Characters of Chinese, Japanese and Korean, whose words are mostly of one to three."""

_TRIPLES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
"""Characters of Thai, Lao, Burmese and Khmer, where vowel signs and tones count as characters."""

RUN = re.compile(f"([{_PAIRS}]+)|[{_TRIPLES}]+")


def of_document(words: str) -> str:
    """``words`` with the parts of each run of such characters in its place.

    They are the parts of two characters and the single characters of Chinese, Japanese and Korean;
    and the parts of three and of two of Thai, Lao, Burmese and Khmer.
    """
    return words if words.isascii() else RUN.sub(_stored, words)


def of_query(words: str) -> str:
    """The same with the longer parts alone, or a run that is too short for one as it is."""
    return words if words.isascii() else RUN.sub(_asked, words)


def _stored(run: re.Match[str]) -> str:
    text, size = run[0], _size(run)
    return f" {_parts(text, size)} {_parts(text, size - 1) if len(text) >= size else ''} "


def _asked(run: re.Match[str]) -> str:
    return f" {_parts(run[0], _size(run))} "


def _size(run: re.Match[str]) -> int:
    return 2 if run[1] else 3


def _parts(text: str, size: int) -> str:
    return " ".join(text[start : start + size] for start in range(max(1, len(text) - size + 1)))

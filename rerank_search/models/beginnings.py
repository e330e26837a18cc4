"""How much of a long text is tokenised to have its first tokens, whatever its script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPARE = 128
"""Tokens before a cut that may not be those of the whole text.

A tokeniser reads word by word. A word of WordPiece has at most 100 characters, longer ones are one
unknown token; what BPE and Unigram make of a longer word's beginning seldom depends on its end.
"""

_CHARACTERS_PER_TOKEN = 16
"""Far more than most texts have, so that the first attempt nearly always has enough tokens."""

_GROWTH = 8

Tokens = TypeVar("Tokens", bound=Sized)


def first_characters(text: str, tokens: int) -> str:
    """So many characters that nearly all texts have ``tokens`` tokens in them, and some more."""
    return text[: (tokens + SPARE) * _CHARACTERS_PER_TOKEN]


def completed(
    text: str,
    head: str,
    encoded: Tokens,
    tokens: int,
    encode: Callable[[str], Tokens],
    longest_word: int | None = None,
) -> tuple[str, Tokens]:
    """Enough of ``text``, and what ``encode`` makes of it: its first ``tokens`` are the text's.

    ``encoded`` is what it made of ``head``, the first characters. ``longest_word`` is that of
    ``longest_word_of``.
    """
    if len(head) == len(text) or len(encoded) >= tokens + SPARE:
        return head, encoded
    if longest_word is not None:
        text = _without_long_words(text, longest_word)
    size = len(head)
    while True:
        size *= _GROWTH
        head = text[:size]
        encoded = encode(head)
        if size >= len(text) or len(encoded) >= tokens + SPARE:
            return head, encoded


def longest_word_of(tokenizer: Tokenizer) -> int | None:
    """The length above which the tokenizer makes one unknown token of a word; None for others.

    Only BERT's own way of finding words is known to split no run of letters and digits.
    """
    parts = json.loads(tokenizer.to_str())
    kinds = [(parts[name] or {}).get("type") for name in ("model", "pre_tokenizer", "normalizer")]
    if kinds != ["WordPiece", "BertPreTokenizer", "BertNormalizer"]:
        return None
    if any(token["content"].isalnum() for token in parts["added_tokens"]):
        return None  # it would be found inside such a run
    return int(parts["model"]["max_input_chars_per_word"])


# A letter or digit; each of the Han characters is a word of its own in BERT's eyes.
_LETTER = "[^\\W_\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]"


def _without_long_words(text: str, longest: int) -> str:
    """The text with words that are far too long made shorter, which are unknown all the same."""
    return re.sub(rf"(?<!{_LETTER})({_LETTER}{{{longest + 1}}}){_LETTER}++", r"\1", text)

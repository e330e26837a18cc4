"""The part of a long text that has to be tokenised for its first tokens, in any script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPARE = 128
"""Number of tokens before a cut that may differ from those of the whole text.

A tokenizer reads word by word. A WordPiece word has at most 100 characters, and a longer one is an
unknown token; with BPE and Unigram the first tokens of a longer word seldom depend on its end.
"""

_CHARACTERS_PER_TOKEN = 16
"""Characters tokenised per wanted token: far more than most texts need, so that the first attempt
nearly always has enough tokens."""

_GROWTH = 8

Tokens = TypeVar("Tokens", bound=Sized)


def first_characters(text: str, tokens: int) -> str:
    """The first characters, enough for ``tokens`` tokens and some more in nearly all texts."""
    return text[: (tokens + SPARE) * _CHARACTERS_PER_TOKEN]


def completed(
    text: str,
    head: str,
    encoded: Tokens,
    tokens: int,
    encode: Callable[[str], Tokens],
    longest_word: int | None = None,
) -> tuple[str, Tokens]:
    """Enough of ``text``, and its encoding, whose first ``tokens`` tokens are those of the text.

    ``encoded`` is the encoding of ``head``, the first characters. ``longest_word`` is the result of
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
    """The length above which a word becomes one unknown token; None if there is no such length.

    Only BERT's own word splitting is known never to split a run of letters and digits.
    """
    parts = json.loads(tokenizer.to_str())
    kinds = [(parts[name] or {}).get("type") for name in ("model", "pre_tokenizer", "normalizer")]
    if kinds != ["WordPiece", "BertPreTokenizer", "BertNormalizer"]:
        return None
    if any(token["content"].isalnum() for token in parts["added_tokens"]):
        return None  # the tokenizer would find it inside such a run
    return int(parts["model"]["max_input_chars_per_word"])


# A letter or digit; Han characters are left out, because BERT makes a word of each.
_LETTER = "[^\\W_\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]"


def _without_long_words(text: str, longest: int) -> str:
    """The text with too long words shortened; they remain unknown tokens."""
    return re.sub(rf"(?<!{_LETTER})({_LETTER}{{{longest + 1}}}){_LETTER}++", r"\1", text)

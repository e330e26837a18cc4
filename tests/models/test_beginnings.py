from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from rerank_search.models.beginnings import completed, first_characters, longest_word_of

TOKENS = 20

SAMPLE = [
    "the river and the boat, the tower and the bridge: 12 boats, 3 towers!",
    "abababab abab a b c aaaa bbbb ...... ?!?! --- river-boat",
    "中文没有空格，句子很长。日本語の文章です。ここに文がある。",
    "يكتب الولد كتابا الى الطريق من الماضي",
]


def bert() -> Tokenizer:
    letters = string.ascii_lowercase + string.digits
    pieces = ["[UNK]", *letters, *("##" + letter for letter in letters), *string.punctuation]
    tokenizer = Tokenizer(
        models.WordPiece(
            {piece: place for place, piece in enumerate([*pieces, "river", "##ab", "中", "文"])},
            unk_token="[UNK]",
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return tokenizer


TOKENIZERS = {"bert": bert(), "byte-level BPE": byte_level_bpe(), "Unigram": unigram()}

PIECES = ["river", "boat", " ", "\n", "a", "ab", "é", "e\u0301", "!", "…", "中", "文", "。", "😀"]
"""Pieces that are repeated many times, to make texts far longer than the part read first."""


def stretches(most: int) -> st.SearchStrategy[str]:
    stretch = st.builds(
        str.__mul__, st.sampled_from([*PIECES, "ктоп", "تاب"]), st.integers(1, most)
    )
    return st.lists(stretch, min_size=1, max_size=12).map("".join)


def beginning(tokenizer: Tokenizer, text: str) -> tuple[str, list[int]]:
    def encode(some: str) -> list[int]:
        return list(tokenizer.encode(some, add_special_tokens=False).ids)

    head = first_characters(text, TOKENS)
    return completed(text, head, encode(head), TOKENS, encode, longest_word_of(tokenizer))


@pytest.mark.parametrize("kind", ["bert", "byte-level BPE"])
@given(text=stretches(1_500))
@settings(max_examples=60, deadline=None)
def test_the_first_tokens_are_those_of_the_whole_text(kind, text):
    tokenizer = TOKENIZERS[kind]
    _, ids = beginning(tokenizer, text)
    assert ids[:TOKENS] == tokenizer.encode(text, add_special_tokens=False).ids[:TOKENS]


@pytest.mark.slow
@given(words=st.lists(st.sampled_from([*PIECES, "中文没有", "句子很长"]), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_the_first_tokens_of_unigram_are_those_of_the_whole_text(words):
    tokenizer = TOKENIZERS["Unigram"]
    text = "".join(f"{word}{place % 7}" for place, word in enumerate(words * 1_000))
    _, ids = beginning(tokenizer, text)
    assert ids[:TOKENS] == tokenizer.encode(text, add_special_tokens=False).ids[:TOKENS]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("piece", ["中", ".", "aB3/x+9", "ab", "ab ", "كتاب", "?!"])
def test_a_text_without_words_is_read_no_further_than_it_has_to_be(kind, piece):
    read, _ = beginning(TOKENIZERS[kind], piece * 100_000)
    assert len(read) <= 25_000


def test_words_too_long_for_bert_are_shortened_where_they_do_not_count():
    text = "a" * 100_000 + " river " + "b" * 100_000
    read, ids = beginning(TOKENIZERS["bert"], text)
    assert len(read) < 500
    assert ids == TOKENIZERS["bert"].encode(text, add_special_tokens=False).ids


def test_a_token_added_by_name_is_found_in_a_word_of_any_length():
    tokenizer = bert()
    tokenizer.add_tokens([AddedToken("qqq")])
    text = "a" * 5_000 + "qqq" + "a" * 5_000
    assert beginning(tokenizer, text)[1] == tokenizer.encode(text).ids
    assert len(tokenizer.encode(text).ids) == 3

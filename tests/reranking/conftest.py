"""Tiny classifiers with unusual tokenizers and networks."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = [
    "where",
    "is",
    "the",
    "boat",
    "in",
    "a",
    "harbour",
    "bread",
    "river",
    "runs",
    "snow",
    "and",
]
VOCABULARY = 120


def save(folder: Path, tokenizer: Any, kind: str, config: Any) -> Path:
    """A seeded classifier with weights large enough to tell texts apart, and its tokenizer."""
    import transformers

    torch.manual_seed(3)
    network = getattr(transformers, kind)(config)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _phobert(folder: Path) -> Path:
    import transformers

    letters = [*string.ascii_lowercase, *(f"{letter}@@" for letter in string.ascii_lowercase)]
    (folder / "vocab.txt").write_text("".join(f"{token} 1\n" for token in letters))
    (folder / "bpe.codes").write_text("#version: 0.2\nb o 3\nt h 2\n")
    tokenizer = transformers.PhobertTokenizer(
        vocab_file=str(folder / "vocab.txt"),
        merges_file=str(folder / "bpe.codes"),
        model_max_length=48,
    )
    return save(folder, tokenizer, "RobertaForSequenceClassification", _roberta(len(tokenizer)))


def _bertweet(folder: Path) -> Path:
    import transformers

    letters = [*string.ascii_lowercase, *(f"{letter}@@" for letter in string.ascii_lowercase)]
    (folder / "vocab.txt").write_text("".join(f"{token} 1\n" for token in letters))
    (folder / "bpe.codes").write_text("#version: 0.2\nb o 3\nt h 2\n")
    tokenizer = transformers.BertweetTokenizer(
        vocab_file=str(folder / "vocab.txt"),
        merges_file=str(folder / "bpe.codes"),
        model_max_length=48,
    )
    return save(folder, tokenizer, "RobertaForSequenceClassification", _roberta(len(tokenizer)))


def _roberta(size: int) -> Any:
    import transformers

    return transformers.RobertaConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=1,
        num_labels=1,
    )


def _japanese(folder: Path) -> Path:
    import transformers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    (folder / "vocab.txt").write_text("\n".join([*special, *letters, *WORDS]))
    tokenizer = transformers.BertJapaneseTokenizer(
        vocab_file=str(folder / "vocab.txt"),
        word_tokenizer_type="basic",
        subword_tokenizer_type="wordpiece",
        model_max_length=48,
    )
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        num_labels=1,
    )
    return save(folder, tokenizer, "BertForSequenceClassification", config)


def _canine(folder: Path) -> Path:
    import transformers

    tokenizer = transformers.CanineTokenizer(model_max_length=128)
    config = transformers.CanineConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        num_hash_functions=4,
        num_hash_buckets=256,
        max_position_embeddings=256,
        num_labels=1,
    )
    return save(folder, tokenizer, "CanineForSequenceClassification", config)


SLOW: dict[str, Callable[[Path], Path]] = {
    "phobert": _phobert,
    "bertweet": _bertweet,
    "japanese": _japanese,
    "canine": _canine,
}


@pytest.fixture(scope="session", params=SLOW)
def slow_reranker(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    """A reranker whose tokenizer is written in Python."""
    return SLOW[request.param](tmp_path_factory.mktemp(request.param))


def word_tokenizer(**options: Any) -> Any:
    """A fast tokenizer of whole words, without special tokens unless they are given."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[UNK]", "</s>", "<pad>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        eos_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
        **options,
    )


@pytest.fixture(scope="session")
def make_decoder(tmp_path_factory: Any) -> Callable[..., Path]:
    """Makes a decoder that classifies: its kind, options of its tokenizer, of its configuration."""

    def make(kind: str = "Qwen2", tokenizer: Any = None, **options: Any) -> Path:
        import transformers

        own = {"model_max_length": 40} | (tokenizer or {})
        sizes = {"num_key_value_heads": 2, "intermediate_size": 48} if kind != "GPT2" else {}
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            bos_token_id=None,
            eos_token_id=1,
            **sizes,
            **{"num_labels": 1, "pad_token_id": None, **options},
        )
        folder = tmp_path_factory.mktemp(kind)
        return save(folder, word_tokenizer(**own), f"{kind}ForSequenceClassification", config)

    return make

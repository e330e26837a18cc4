"""Texts, queries and an encoder that any machine can make: speed does not depend on meaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from rerank_search import Document

SEED = 42
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
VOCABULARY = ["".join(p) for p in itertools.islice(itertools.product(SYLLABLES, repeat=3), 50_000)]


def texts(count: int, terms: int = 60, seed: int = SEED) -> list[str]:
    """Texts whose words follow Zipf's law (rank ** -1) over 50,000 made-up words.

    A word has the same rank for all seeds, so that texts of several seeds follow the law together.
    """
    ranked = np.random.default_rng(SEED)
    words = ranked.permutation(np.array(VOCABULARY))
    rng = ranked if seed == SEED else np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, len(VOCABULARY) + 1)
    drawn = rng.choice(words, size=(count, terms), p=weights / weights.sum())
    return [" ".join(row) for row in drawn.tolist()]


def documents(count: int) -> list[Document]:
    """``count`` documents of 60 words each."""
    return [Document(f"d{i:07d}", text) for i, text in enumerate(texts(count))]


def queries(corpus: list[str], count: int, terms: int = 6, seed: int = SEED + 1) -> list[str]:
    """Queries of distinct words that occur together in some text."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(corpus), size=count)
    found = []
    for i in chosen:
        words = sorted(set(corpus[i].split()))
        found.append(" ".join(rng.permutation(words)[:terms].tolist()))
    return found


def encoder(directory: Path, dimension: int = 384) -> str:
    """A one-layer untrained BERT with the vector size of all-MiniLM-L6-v2.

    Engines cost the same whatever the vectors mean, and 100,000 texts are encoded in a minute
    instead of half an hour.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(SEED)
    source = directory / "bert"
    source.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters] + VOCABULARY
    (source / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(str(source / "vocab.txt")).save_pretrained(source)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=dimension,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=dimension,
        )
    ).save_pretrained(source)
    body = Transformer(str(source), max_seq_length=256)
    model = SentenceTransformer(modules=[body, Pooling(dimension), Normalize()], device="cpu")
    target = directory / "encoder"
    model.save(str(target))
    return str(target)

"""A loaded network, with what a backend needs to compute it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.backends.installed import Loaded
from rerank_search.models.loading import positions
from rerank_search.models.registry import fingerprint
from rerank_search.reranking.int8_gate import example_pairs
from rerank_search.reranking.loading import input_names

_EXAMPLE_TOKENS = 128
"""Tokens of the example pairs that int8 is fitted to."""


def loaded_network(network: Any, tokenizer: Any, directory: str, options: str = "") -> Loaded:
    """The network with its inputs, the fingerprint of its files, and example inputs.

    ``options`` is a text that differs if other options that logits depend on differ.
    """
    names = input_names(network, tokenizer)

    def examples() -> Mapping[str, NDArray[np.int64]]:
        longest = min(_EXAMPLE_TOKENS, window_of(tokenizer, network))
        columns = map(list, zip(*example_pairs(), strict=True))
        encoded = tokenizer(*columns, truncation=True, max_length=longest, padding=True)
        return {name: np.array(encoded[name], dtype=np.int64) for name in names}

    weights = fingerprint(Path(directory))
    if options:  # hashed again, because the fingerprint is part of a file's name
        weights = hashlib.sha256((weights + options).encode()).hexdigest()[:32]
    return Loaded(network, names, weights, examples)


def window_of(tokenizer: Any, network: Any, *further: int | None) -> int:
    """The window: tokens that the network reads of a pair, special tokens included.

    ``further`` are other limits than those of the tokenizer and the network.
    """
    limits: list[int | None] = [tokenizer.model_max_length, positions(network), *further]
    return min(limit for limit in limits if limit is not None)

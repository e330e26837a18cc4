from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rerank_search.models.registry import fingerprint
from rerank_search.reranking.loaded_network import loaded_network, window_of


@pytest.fixture(scope="module")
def network(tiny_reranker: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(tiny_reranker)


@pytest.fixture
def tokenizer(tiny_reranker: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_reranker)


def test_a_network_is_known_by_its_files(network: Any, tokenizer: Any, tiny_reranker: Path) -> None:
    loaded = loaded_network(network, tokenizer, str(tiny_reranker))
    assert loaded.network is network
    assert loaded.weights == fingerprint(tiny_reranker)
    assert sorted(loaded.names) == ["attention_mask", "input_ids", "token_type_ids"]


def test_options_that_change_logits_change_what_it_is_known_by(
    network: Any, tokenizer: Any, tiny_reranker: Path
) -> None:
    known_by = {
        loaded_network(network, tokenizer, str(tiny_reranker), options).weights
        for options in ("", "one", "other")
    }
    assert len(known_by) == 3


@pytest.mark.parametrize(("window", "longest"), [(64, 64), (20, 20)])
def test_examples_are_pairs_that_fit_the_window(
    network: Any, tokenizer: Any, tiny_reranker: Path, window: int, longest: int
) -> None:
    tokenizer.model_max_length = window
    loaded = loaded_network(network, tokenizer, str(tiny_reranker))
    examples = loaded.examples()
    assert sorted(examples) == sorted(loaded.names)
    assert {values.shape for values in examples.values()} == {examples["input_ids"].shape}
    assert examples["input_ids"].shape[1] == longest
    assert set(examples["token_type_ids"].ravel().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("of_tokenizer", "asked", "window"),
    [(64, None, 64), (10**9, None, 64), (32, 40, 32), (64, 9, 9)],
)
def test_the_window_is_the_least_of_all_limits(
    network: Any, tokenizer: Any, of_tokenizer: int, asked: int | None, window: int
) -> None:
    tokenizer.model_max_length = of_tokenizer
    assert window_of(tokenizer, network, asked) == window

"""Batches of rows of similar length."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoTokenizer

from rerank_search.errors import InvalidInputError
from rerank_search.training.recipe.loading import load_recipe
from rerank_search.training.run.batches import ByLengthBatchSampler
from rerank_search.training.train import train


@pytest.fixture(scope="module")
def tokenizer(tiny_reranker: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_reranker)


def dataset(count: int) -> Dataset:
    rng = random.Random(7)
    documents = ["the " * round(rng.lognormvariate(3, 0.6)) for _ in range(count)]
    return Dataset.from_dict(
        {"query": ["which river"] * count, "document": documents, "label": [1.0] * count}
    )


def sampler(
    rows: Dataset, tokenizer: Any, batch_size: int = 16, *, drop_last: bool = False, seed: int = 1
) -> ByLengthBatchSampler:
    return ByLengthBatchSampler(
        rows, batch_size=batch_size, drop_last=drop_last, seed=seed, tokenizer=tokenizer
    )


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 70), batch_size=st.integers(1, 9), drop_last=st.booleans())
def test_every_row_comes_once_but_those_of_a_last_batch_that_is_dropped(
    tokenizer: Any, count: int, batch_size: int, drop_last: bool
) -> None:
    made = sampler(dataset(count), tokenizer, batch_size, drop_last=drop_last)
    batches = list(made)
    full, rest = divmod(count, batch_size)
    sizes = [batch_size] * full + ([rest] if rest and not drop_last else [])
    assert [len(batch) for batch in batches] == sizes
    assert len(made) == len(sizes)
    rows = [row for batch in batches for row in batch]
    assert len(set(rows)) == len(rows) == sum(sizes)
    assert set(rows) <= set(range(count))


def test_little_is_padded(tokenizer: Any) -> None:
    rows = dataset(2_000)
    lengths = np.array([text.count(" ") for text in rows["document"]])

    def padded(batches: list[list[int]]) -> float:
        """The number of tokens with padding, divided by the number without."""
        return sum(lengths[batch].max() * len(batch) for batch in batches) / lengths.sum()

    order = np.random.default_rng(0).permutation(2_000)
    assert padded(order.reshape(-1, 16).tolist()) > 2
    assert padded(list(sampler(rows, tokenizer))) < 1.2


def test_batches_come_in_no_order_of_length(tokenizer: Any) -> None:
    rows = dataset(2_000)
    lengths = np.array([text.count(" ") for text in rows["document"]])
    means = [lengths[batch].mean() for batch in sampler(rows, tokenizer)]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_texts_of_lists_count_and_labels_do_not(tokenizer: Any) -> None:
    documents = [["red", "green " * 9], ["red " * 10], ["red"], ["green"]]
    rows = Dataset.from_dict(
        {"query": ["q"] * 4, "documents": documents, "labels": [[0.0, 1.0], [1.0], [0.0], [1.0]]}
    )
    assert sorted(map(sorted, sampler(rows, tokenizer, 2))) == [[0, 1], [2, 3]]


def test_an_epoch_has_its_own_batches_which_are_the_same_each_time(tokenizer: Any) -> None:
    rows = dataset(100)
    first, second = sampler(rows, tokenizer), sampler(rows, tokenizer)
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)
    assert list(first) != list(sampler(rows, tokenizer, seed=2))


@pytest.mark.training
def test_a_run_has_the_batches_that_its_recipe_says(unmeasured_recipe: Path) -> None:
    def weights(output: str, **options: str) -> dict[str, torch.Tensor]:
        overrides = {"output": output, "max_steps": "3", **options}
        return load_file(train(unmeasured_recipe, overrides=overrides) / "model.safetensors")

    first, again = weights("first"), weights("again", batches="by_length")
    other = weights("other", batches="random")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('loss = "bce"', True),
        ('loss = "bce"\nbatches = "random"', False),
        ('loss = "listwise"', False),
        ('loss = "listwise"\nbatches = "by_length"', True),
        ('loss = "multiple-negatives"\n[arguments]\nbatch_sampler = "no_duplicates"', False),
        ('loss = "bce"\n[arguments]\nbatch_sampler = "no_duplicates"', False),
    ],
)
def test_losses_of_single_rows_take_them_by_length(
    tmp_path: Path, lines: str, expected: bool
) -> None:
    assert load_recipe(recipe(tmp_path, lines)).by_length is expected


def test_two_ways_to_make_batches_are_refused(tmp_path: Path) -> None:
    lines = 'loss = "bce"\nbatches = "by_length"\n[arguments]\nbatch_sampler = "no_duplicates"'
    with pytest.raises(
        InvalidInputError, match=r"arguments\.batch_sampler .* remove one of the two"
    ):
        load_recipe(recipe(tmp_path, lines))


def recipe(folder: Path, lines: str) -> Path:
    path = folder / "recipe.toml"
    source = '[[sources]]\npairs = "pairs.jsonl"'
    path.write_text(f'name = "a"\noutput = "model"\n{lines}\n{source}\n', encoding="utf-8")
    return path

"""Batches of rows of similar length, which need little padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

POOL = 32
"""Number of batches whose rows are sorted together; more would make batches less random."""

_AT_ONCE = 1000


class ByLengthBatchSampler(DefaultBatchSampler):
    """All rows in random batches, each of rows with similar numbers of tokens.

    The rows are shuffled, those of every ``POOL`` batches are sorted by length and cut into
    batches, and the batches are shuffled. A last batch that is not full has random rows. The same
    seed and epoch give the same batches.
    """

    def __init__(self, dataset: Any, *args: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(dataset, *args, **options)
        self._tokens = _tokens(dataset, tokenizer)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self._tokens))
        full, rest = np.split(order, [len(order) // self.batch_size * self.batch_size])
        for start in range(0, len(full), POOL * self.batch_size):
            pool = full[start : start + POOL * self.batch_size]
            pool[:] = pool[np.argsort(self._tokens[pool], kind="stable")]
        batches = full.reshape(-1, self.batch_size)
        yield from rng.permutation(batches).tolist()
        if len(rest) and not self.drop_last:
            yield rest.tolist()


def _tokens(dataset: Any, tokenizer: Any) -> NDArray[np.int64]:
    """The number of tokens of each row, all its texts together."""
    tokens = np.zeros(len(dataset), dtype=np.int64)
    for start in range(0, len(dataset), _AT_ONCE):
        columns = dataset[start : start + _AT_ONCE]
        texts, rows = [], []
        for values in columns.values():
            for row, value in enumerate(values, start):
                found = [each for each in _listed(value) if isinstance(each, str)]
                texts += found
                rows += [row] * len(found)
        # verbose would warn of texts above the model's window, which are cut later.
        ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        np.add.at(tokens, rows, [len(each) for each in ids])
    return tokens


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

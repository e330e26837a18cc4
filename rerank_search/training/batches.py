"""Batches of rows of about the same length, so that little padding goes through the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

POOL = 32
"""Batches that are cut out of rows sorted together: of more, those of a batch are less random."""


class ByLengthBatchSampler(DefaultBatchSampler):
    """All rows in random batches, each of rows whose texts have about as many characters.

    The rows are shuffled, those of every ``POOL`` batches are sorted by length, and the batches
    that these are cut into are shuffled. A last batch that is not full has random rows. The same
    seed and epoch give the same batches.
    """

    def __init__(self, dataset: Any, *args: Any, **options: Any) -> None:
        super().__init__(dataset, *args, **options)
        columns = [dataset[name] for name in dataset.column_names]
        self._characters: NDArray[np.int64] = np.fromiter(
            (sum(map(_characters, row)) for row in zip(*columns, strict=True)), dtype=np.int64
        )

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self._characters))
        full, rest = np.split(order, [len(order) // self.batch_size * self.batch_size])
        for start in range(0, len(full), POOL * self.batch_size):
            pool = full[start : start + POOL * self.batch_size]
            pool[:] = pool[np.argsort(self._characters[pool], kind="stable")]
        batches = full.reshape(-1, self.batch_size)
        yield from rng.permutation(batches).tolist()
        if len(rest) and not self.drop_last:
            yield rest.tolist()


def _characters(value: Any) -> int:
    """Of a text, or of all in a list; labels have none."""
    if isinstance(value, str):
        return len(value)
    return sum(map(_characters, value)) if isinstance(value, list) else 0

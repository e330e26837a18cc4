"""Sparse vectors: for each text the dimensions that are not 0, and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SparseVector: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]
"""The dimensions and the weights of one text."""


@dataclass(frozen=True, slots=True)
class SparseVectors:
    """Vectors of n texts. Those of text i are the entries from ``starts[i]`` to ``starts[i + 1]``.

    ``starts`` is int64 of shape (n + 1,). ``tokens`` has the dimensions of the entries, int32 and
    ascending within a text, and ``weights`` their weights, float32; none of these is 0.
    """

    starts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, place: int) -> SparseVector:
        """The dimensions and the weights of one text."""
        entries = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return self.tokens[entries], self.weights[entries]

    @property
    def texts(self) -> NDArray[np.int64]:
        """The position of the text that each entry belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def joined(vectors: Sequence[SparseVector]) -> SparseVectors:
    """The vectors of several texts, given the dimensions and the weights of each."""
    counts = np.array([0, *(len(tokens) for tokens, _ in vectors)], np.int64)
    return SparseVectors(
        np.cumsum(counts),
        np.concatenate([np.empty(0, np.int32), *(tokens for tokens, _ in vectors)]),
        np.concatenate([np.empty(0, np.float32), *(weights for _, weights in vectors)]),
    )

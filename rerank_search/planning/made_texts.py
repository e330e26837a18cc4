"""Texts and queries that any machine can make: costs do not depend on what they mean."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

SEED = 42
TERMS = 50_000
"""Number of different words."""

QUERY_WORDS = 6


class MadeTexts:
    """Texts of made-up words, which are as frequent as in a language: by Zipf's law, rank ** -1.

    Lengths vary as those of documents do: they are drawn from a log-normal distribution whose
    standard deviation is about half of its mean.
    """

    def __init__(self) -> None:
        self._random = np.random.default_rng(SEED)
        syllables = [first + last for first in "bdfgklmnprstvz" for last in "aeiou"]
        words = itertools.islice(itertools.product(syllables, repeat=3), TERMS)
        self._words = self._random.permutation(["".join(word) for word in words])
        weights = 1.0 / np.arange(1, TERMS + 1)
        self._weights = np.cumsum(weights / weights.sum())

    def texts(self, count: int, words: int) -> list[str]:
        """Texts of ``words`` words in the mean."""
        drawn = self._random.lognormal(np.log(words) - 0.1, 0.45, count)
        lengths = np.maximum(1, np.round(drawn)).astype(np.int64)
        places = np.searchsorted(self._weights, self._random.random(int(lengths.sum())))
        chosen = self._words[np.minimum(places, TERMS - 1)]
        return [" ".join(part) for part in np.split(chosen, np.cumsum(lengths)[:-1])]

    def queries(self, texts: list[str], count: int) -> list[str]:
        """Queries of a few different words of a text each."""
        found = []
        for place in self._random.integers(len(texts), size=count):
            words = sorted({*texts[place].split()})
            found.append(" ".join(self._random.permutation(words)[:QUERY_WORDS]))
        return found

    def vectors(self, count: int, dimension: int) -> NDArray[np.float32]:
        """Vectors of length 1 in random directions, shape (count, dimension), float32."""
        found = self._random.standard_normal((count, dimension), dtype=np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found

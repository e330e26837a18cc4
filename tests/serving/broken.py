"""Rerankers that fail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Broken:
    name = "broken"

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        raise OSError("the model's disk is gone")


class BrokenFor:
    """Fails for queries that begin with a word."""

    name = "broken-for"

    def __init__(self, word: str) -> None:
        self._word = word

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        if any(query.startswith(self._word) for query, _ in pairs):
            raise OSError("the model's disk is gone")
        return np.array([float(len(text)) for _, text in pairs], dtype=np.float32)

"""A reranker that answers when a test lets it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np


class Gated:
    """A reranker of a user that is slow."""

    name = "gated"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.calls: list[int] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.calls.append(len(pairs))
        assert self.gate.wait(60)
        return np.zeros(len(pairs), dtype=np.float32)

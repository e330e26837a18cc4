"""A memory of computed scores, for rerankers with a ``cache_size``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rerank_search.remembered import Remembered, key_of


class Read(NamedTuple):
    """A model's result for n pairs: logits, which were cut, and how many tokens each has."""

    logits: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    tokens: NDArray[np.int64]


class RememberedScores:
    """Computes no pair again that is among the last ``most``. Threads may share one.

    ``compute`` gets pairs and the prompt that the model reads with them.
    """

    def __init__(
        self, most: int, compute: Callable[[Sequence[tuple[str, str]], str], Read]
    ) -> None:
        self._compute = compute
        self._known: Remembered[bytes, tuple[float, bool, int]] | None = (
            Remembered(most) if most else None
        )

    def of(self, pairs: Sequence[tuple[str, str]], prompt: str = "") -> Read:
        """The scores of distinct pairs with a prompt, in their order."""
        if self._known is None:
            return self._compute(pairs, prompt)
        keys = [key_of(prompt, *pair) for pair in pairs]
        found = self._known.known(keys)
        new = [i for i, key in enumerate(keys) if key not in found]
        computed = self._compute([pairs[i] for i in new], prompt)
        values = zip(*(column.tolist() for column in computed), strict=True)
        fresh = {keys[i]: value for i, value in zip(new, values, strict=True)}
        self._known.remember(fresh)
        known = found | fresh
        rows = [known[key] for key in keys]
        return Read(
            np.array([logit for logit, _, _ in rows], dtype=np.float32),
            np.array([was_cut for _, was_cut, _ in rows], dtype=np.bool_),
            np.array([tokens for _, _, tokens in rows], dtype=np.int64),
        )

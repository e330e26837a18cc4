"""The checks of rerankers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from rerank_search.reranking.base import Reranker
from rerank_search.reranking.traits import takes_instructions
from rerank_search.testing.rules import require

THREADS = 4


def check_reranker(reranker: Reranker, *, tolerance: float = 1e-3) -> None:
    """Check that each pair gets one finite float32 logit, in any order, batch and thread.

    ``tolerance`` bounds how far a pair's score may differ between batches. A reranker that
    ``takes_instructions`` has to score the pairs with one too.
    """
    pairs = [
        ("how to join paths", "join path components with the separator of the system"),
        ("how to join paths", "bread is baked in an oven"),
        ("how to join paths", ""),
        ("a", "long text " * 2_000),
        ("naïve café 東京 🙂", 'query syntax ("AND" OR -x): [^1]* \x00 is plain text'),
    ]
    require(bool(reranker.name), "name must not be empty")
    scores = _checked_scores(reranker, pairs)
    _checked_scores(reranker, [])
    if takes_instructions(reranker):
        _checked_scores(reranker, pairs, instruction="find texts that answer the question")
    before = copy.deepcopy(pairs)
    backwards = _checked_scores(reranker, pairs[::-1])[::-1]
    require(pairs == before, "score() must not change its input")
    require(
        bool(np.allclose(scores, backwards, atol=tolerance)),
        f"scores must follow their pairs: {scores.tolist()}, in reverse {backwards.tolist()}",
    )
    alone = np.array([_checked_scores(reranker, [pair])[0] for pair in pairs])
    require(
        bool(np.allclose(scores, alone, atol=tolerance)),
        f"a score must not depend on the batch: {scores.tolist()}, alone {alone.tolist()}",
    )
    with ThreadPoolExecutor(THREADS) as pool:
        for result in pool.map(lambda _: _checked_scores(reranker, pairs), range(2 * THREADS)):
            require(
                bool(np.allclose(scores, result, atol=tolerance)),
                "threads that share a reranker must get the same scores",
            )


def _checked_scores(
    reranker: Reranker, pairs: Sequence[tuple[str, str]], **instruction: Any
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    scores = reranker.score(pairs, **instruction)
    require(isinstance(scores, np.ndarray), f"score() must return an array, not {type(scores)}")
    require(scores.dtype == np.float32, f"scores must be float32, not {scores.dtype}")
    require(
        scores.shape == (len(pairs),),
        f"scores of {len(pairs)} pairs must have the shape ({len(pairs)},), not {scores.shape}",
    )
    require(bool(np.isfinite(scores).all()), f"scores must be finite, not {scores.tolist()}")
    return scores.reshape(len(pairs))

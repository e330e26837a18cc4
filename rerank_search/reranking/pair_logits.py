"""The logits of (query, text) pairs by a loaded model: many at once, or the best window of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import RerankError
from rerank_search.models.batches import one_ahead
from rerank_search.reranking.base import Scores
from rerank_search.reranking.loaded_model import LoadedModel
from rerank_search.reranking.pairs import EncodedPair, distinct_pairs

if TYPE_CHECKING:
    import torch

PAIRS_AT_ONCE = 4_096
"""Pairs tokenised together, then sorted by length."""


def pair_logits(
    model: LoadedModel,
    pairs: Sequence[tuple[str, str]],
    batch_size: int | None = None,
    show_progress_bar: bool | None = None,
    *,
    prompt: str,
    longest_first: bool = False,
) -> tuple[torch.Tensor, NDArray[np.bool_], NDArray[np.int64]]:
    """Logits of shape (n, labels), which pairs were cut, and how many tokens each has.

    Some thousand pairs are tokenised together, while the model computes the previous ones.
    """
    import torch

    at_once = len(pairs) if show_progress_bar else PAIRS_AT_ONCE
    encode = partial(model.pairs.encode, prompt=prompt, longest_first=longest_first)
    chunks = [pairs[i : i + at_once] for i in range(0, len(pairs), max(at_once, 1))]
    logits = [torch.empty((0, model.num_labels))]
    read: list[tuple[bool, int]] = []
    for chunk, encoded in zip(chunks, one_ahead(encode, chunks), strict=True):
        logits.append(model.logits(encoded, batch_size, show_progress_bar))
        _require_finite(model, logits[-1].numpy(), chunk)
        read += [(pair.truncated, len(pair.ids)) for pair in encoded]
    truncated = np.array([was_cut for was_cut, _ in read], dtype=np.bool_)
    return torch.cat(logits), truncated, np.array([n for _, n in read], dtype=np.int64)


def best_windows(model: LoadedModel, pairs: Sequence[tuple[str, str]], prompt: str) -> Scores:
    """The logit of the best window of each pair, with the window's span in the text."""
    distinct, positions = distinct_pairs(pairs)
    windows = model.pairs.windows(distinct, prompt=prompt)
    logits = model.logits([window for pair in windows for window in pair]).numpy()[:, 0]
    owners = [pair for pair, own in zip(distinct, windows, strict=True) for _ in own]
    _require_finite(model, logits, owners)
    values = np.empty(len(distinct), dtype=np.float32)
    best: list[EncodedPair] = []
    start = 0
    for i, pair in enumerate(windows):
        own = logits[start : start + len(pair)]
        start += len(pair)
        values[i] = own.max()
        best.append(pair[int(own.argmax())])
    truncated = np.array([pair.truncated for pair in best], dtype=np.bool_)
    tokens = np.array([sum(len(each.ids) for each in pair) for pair in windows], dtype=np.int64)
    spans = [best[i].span for i in positions]
    return Scores(values[positions], truncated[positions], spans, tokens[positions])


def _require_finite(
    model: LoadedModel, logits: NDArray[np.float32], pairs: Sequence[tuple[str, str]]
) -> None:
    finite = np.isfinite(logits).all(axis=tuple(range(1, logits.ndim)))
    for place in np.flatnonzero(~finite)[:1]:
        query, text = pairs[place]
        raise RerankError(
            f"the reranker {model.name!r} returned NaN or infinite scores, first for "
            f"({query!r:.60}, {text!r:.60}), so its weights are damaged or too large: "
            "download the model again, or use another one"
        )

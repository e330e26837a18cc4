"""Batches of similar length under a budget of tokens, computed by several threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

BATCH_TOKENS = 16_384
"""Tokens of a batch on a GPU, padding included."""

CPU_BATCH_TOKENS = 2_048
"""Tokens of a batch on a CPU, where larger batches outgrow the caches."""

THREAD_BATCH_TOKENS = 1_024
"""Tokens of a batch if each thread computes one of its own."""

_NARROW = 384
"""Model width below which activations are so small that larger batches are faster."""

Item = TypeVar("Item")
Made = TypeVar("Made")

_PADDING, _SMALL = 0.05, 0.25
"""Most padding as a share of a batch, and the share of the budget up to which more is allowed."""


def token_batches(
    lengths: NDArray[np.int64], max_tokens: int, max_items: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Positions in batches of similar length, longest first; every position is in one batch.

    A batch of n items whose longest has l tokens has n * l <= ``max_tokens``, padding included,
    and at most ``max_items`` items; an item above the budget is a batch of its own. Less than 5%
    of a batch is padding, unless it has no more than a quarter of the budget.
    """
    order = np.argsort(-lengths, kind="stable")
    sizes = np.maximum(lengths[order], 1)
    start = 0
    while start < len(order):
        longest = int(sizes[start])
        most = max(max_tokens // longest, 1)
        if max_items is not None:
            most = min(most, max_items)
        filled = np.cumsum(sizes[start : start + most])
        padded = longest * np.arange(1, len(filled) + 1)
        # Each condition holds for the first items up to some item, and for none after it.
        small, full = padded <= max_tokens * _SMALL, filled > padded * (1 - _PADDING)
        end = start + int(np.count_nonzero(small | full))
        yield order[start:end]
        start = end


def one_ahead(function: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """Map ``function`` over the items, computing the next while the caller uses the current."""
    if len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(1) as worker:
        following = worker.submit(function, items[0])
        for item in items[1:]:
            made, following = following.result(), worker.submit(function, item)
            yield made
        yield following.result()


def each(
    function: Callable[[Item], Made], items: Iterable[Item], at_once: int
) -> Generator[Made, None, None]:
    """Map ``function`` over the items in several threads, keeping their order.

    An iterator is read to its end at once, while the threads compute the items read so far.
    The first error is raised, and no further item is started after it.
    """
    if at_once < 2 or (isinstance(items, Sized) and len(items) < 2):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(at_once) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:  # also of the iterator, whose items have been started already
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def even_budget(lengths: NDArray[np.int64], max_tokens: int, at_once: int) -> int:
    """A budget of at most ``max_tokens`` that gives each of ``at_once`` threads as many batches."""
    everything = int(lengths.sum())
    rounds = -(-everything // (max_tokens * at_once))
    return -(-everything // (max(rounds, 1) * at_once))


def cpu_batch_tokens(network: Any, at_once: int) -> int:
    """Tokens of a batch on a CPU that computes ``at_once`` batches at a time."""
    width = getattr(network.config, "hidden_size", _NARROW)
    usual = CPU_BATCH_TOKENS if at_once == 1 else THREAD_BATCH_TOKENS
    return min(usual * max(_NARROW // width, 1) ** 2, BATCH_TOKENS // at_once)

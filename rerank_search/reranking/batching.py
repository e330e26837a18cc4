"""Batches of similar length under a budget of tokens, and what to do when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import RerankError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Made = TypeVar("Made")

_PADDING, _SMALL = 0.05, 0.25
"""The share of a batch that may be padding, and that of the budget up to which it may be more."""

# torch has no own type for an allocation that fails outside CUDA, and other runtimes have none.
_ALLOCATION_FAILURES = (
    "not enough memory",
    "DefaultCPUAllocator",
    "out of memory",
    "Failed to allocate",
    "can't alloc",
    "bad_alloc",
)


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
        # Both hold up to some item, and for none after it.
        small, full = padded <= max_tokens * _SMALL, filled > padded * (1 - _PADDING)
        end = start + int(np.count_nonzero(small | full))
        yield order[start:end]
        start = end


def one_ahead(function: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """What ``function`` makes of each, of the next one while the caller is busy with one."""
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
    function: Callable[[Item], Made], items: Sequence[Item], at_once: int
) -> Generator[Made, None, None]:
    """What ``function`` makes of each, in their order; so many threads compute it.

    What one of them raises is raised, and no other is begun then.
    """
    if min(at_once, len(items)) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(function, items)


def even_budget(lengths: NDArray[np.int64], max_tokens: int, at_once: int) -> int:
    """A budget of at most ``max_tokens`` with which each of the threads has as many batches."""
    everything = int(lengths.sum())
    rounds = -(-everything // (max_tokens * at_once))
    return -(-everything // (max(rounds, 1) * at_once))


def halving(
    forward: Callable[[Sequence[Item]], torch.Tensor], batch: Sequence[Item]
) -> torch.Tensor:
    """``forward(batch)``, in halves for as long as memory runs out; any other error is raised.

    Raises RerankError where even one item does not fit.
    """
    import torch

    try:
        return forward(batch)
    # ONNX Runtime's errors have no class in common with others.
    except Exception as error:
        if not out_of_memory(error):
            raise
        if len(batch) == 1:
            raise RerankError(
                "one pair alone does not fit into memory; use a smaller max_length, or device='cpu'"
            ) from error
    # Outside the handler, so that the traceback no longer holds the failed batch's tensors.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(batch) // 2
    return torch.cat([halving(forward, batch[:middle]), halving(forward, batch[middle:])])


def out_of_memory(error: Exception) -> bool:
    """Whether the error says that an allocation failed."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in _ALLOCATION_FAILURES)

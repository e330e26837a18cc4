"""Batches computed in halves when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from rerank_search.errors import RerankError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")

# Outside CUDA torch has no error class for a failed allocation, and other runtimes have none.
_ALLOCATION_FAILURES = (
    "not enough memory",
    "DefaultCPUAllocator",
    "out of memory",
    "Failed to allocate",
    "can't alloc",
    "bad_alloc",
    "Resource temporarily unavailable",  # no memory for the stack of a thread
)


def halving(
    forward: Callable[[Sequence[Item]], torch.Tensor], batch: Sequence[Item]
) -> torch.Tensor:
    """``forward(batch)``, halving the batch until it fits into memory; other errors are raised.

    Raises RerankError if even one item does not fit.
    """
    import torch

    try:
        return forward(batch)
    # ONNX Runtime's errors share no class with those of other runtimes.
    except Exception as error:
        if not out_of_memory(error):
            raise
        if len(batch) == 1:
            raise RerankError(
                "there is not enough memory for one pair: use a smaller max_length, or device='cpu'"
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

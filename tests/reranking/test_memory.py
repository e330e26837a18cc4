from __future__ import annotations

import pytest
import torch

from rerank_search.errors import RerankError
from rerank_search.reranking.memory import halving


def _fits(most: int, error: RuntimeError):
    sizes = []

    def forward(batch):
        sizes.append(len(batch))
        if len(batch) > most:
            raise error
        return torch.tensor(batch)

    return forward, sizes


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
    ],
)
def test_a_batch_above_memory_is_halved_until_it_fits(error):
    forward, sizes = _fits(3, error)

    assert halving(forward, list(range(10))).tolist() == list(range(10))
    assert max(size for size in sizes if size <= 3) > 1


def test_one_item_above_memory_is_an_error_that_says_what_to_do():
    forward, _ = _fits(0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RerankError, match="max_length"):
        halving(forward, [1, 2, 3])


def test_any_other_error_is_raised_as_it_is():
    forward, sizes = _fits(0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        halving(forward, [1, 2, 3])
    assert sizes == [3]


def test_a_real_failed_allocation_counts_as_out_of_memory():
    with pytest.raises(RerankError, match="memory"):
        halving(lambda batch: torch.empty(1 << 60), [1, 2])

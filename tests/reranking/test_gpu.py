"""Tests on a CUDA GPU, skipped without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.memory import halving
from rerank_search.training.model.precision import best_precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

QUERY = "how to join the paths"
TEXTS = ["join file paths with a path", "", "the bread is in the oven", "a boat on the river " * 30]
PAIRS = [(QUERY, text) for text in TEXTS]


@pytest.fixture(scope="module")
def expected(tiny_reranker: Path) -> np.ndarray:
    return CrossEncoderReranker(tiny_reranker, device="cpu").score(PAIRS)


def test_the_gpu_is_taken_by_itself_and_computes_in_half_precision(
    tiny_reranker, monkeypatch: pytest.MonkeyPatch
):
    for name in ("BACKEND", "DTYPE"):
        monkeypatch.delenv(f"RERANK_SEARCH_{name}")
    reranker = CrossEncoderReranker(tiny_reranker)
    assert reranker.device.type == "cuda"
    assert (reranker.backend, reranker.dtype) == ("torch", best_precision(reranker.device))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.1), ("float16", 0.02)]
)
def test_logits_are_those_of_the_cpu(dtype, tolerance, tiny_reranker, expected):
    reranker = CrossEncoderReranker(tiny_reranker, device="cuda", backend="torch", dtype=dtype)
    found = reranker.score(PAIRS * 300)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.tile(expected, 300), atol=tolerance)


@pytest.mark.parametrize("kind", ["ModernBERT, pooling, dense", "Qwen3 that answers yes or no"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.2)])
def test_models_of_several_modules_are_computed_there_too(kind, dtype, tolerance, any_reranker):
    directory = any_reranker(kind)
    expected = CrossEncoderReranker(directory, device="cpu").score(PAIRS)
    found = CrossEncoderReranker(directory, device="cuda", dtype=dtype).score(PAIRS)
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_runtimes_of_cpus_are_refused_on_a_gpu(tiny_reranker):
    with pytest.raises(InvalidInputError, match="use device='cpu', or backend='torch'"):
        CrossEncoderReranker(tiny_reranker, device="cuda", backend="onnx", dtype="float32")


def test_a_batch_that_does_not_fit_into_the_memory_of_the_gpu_is_halved():
    _, total = torch.cuda.mem_get_info()
    sizes = []

    def forward(batch: list[int]) -> torch.Tensor:
        sizes.append(len(batch))
        torch.empty(len(batch) * total // 3, dtype=torch.uint8, device="cuda")
        return torch.tensor(batch)

    assert halving(forward, [0, 1, 2, 3]).tolist() == [0, 1, 2, 3]
    assert sizes == [4, 2, 2]

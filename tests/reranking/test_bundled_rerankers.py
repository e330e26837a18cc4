"""The rerankers that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from torch.nn import Identity

from rerank_search import Cascade, CrossEncoderReranker
from rerank_search.models.registry import BUNDLED_RERANKERS, resolve_reranker

MEGABYTE = 10**6

QUERY = "how do I join two paths"
TEXTS = [
    "Bread is made of flour, water, salt and yeast.",
    "os.path.join(path, *paths) joins one or more path components.",
    "The queen of the bees lays the eggs of the hive.",
]
PAIRS = [(QUERY, text) for text in TEXTS]


@pytest.mark.parametrize("name", BUNDLED_RERANKERS)
def test_it_scores_as_sentence_transformers_does(name: str) -> None:
    ours = CrossEncoderReranker(name, device="cpu")
    theirs = CrossEncoder(resolve_reranker(name), device="cpu").float()
    expected = theirs.predict(PAIRS, activation_fn=Identity())
    np.testing.assert_allclose(ours.score(PAIRS), expected, atol=1e-4)
    assert np.argmax(expected) == 1
    assert ours.fusion is not None


def test_the_small_one_is_small() -> None:
    files = Path(resolve_reranker("rerank-search-tiny")).iterdir()
    assert sum(file.stat().st_size for file in files) <= 16 * MEGABYTE


def test_the_small_one_chooses_for_the_large_one() -> None:
    small, large = (CrossEncoderReranker(name, device="cpu") for name in BUNDLED_RERANKERS[::-1])
    scores = Cascade([small, large], keep=[1]).score(PAIRS)
    assert np.argmax(scores) == 1
    np.testing.assert_allclose(scores[1], large.score(PAIRS)[1], atol=1e-4)

"""Vectors of every kind of encoder against sentence-transformers, as eval/benchmarks has them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import made_by_benchmarks


@pytest.mark.parametrize("kind", made_by_benchmarks("tiny_encoders").ENCODERS)
def test_vectors_are_those_of_sentence_transformers(
    architectures: ModuleType, tmp_path: Path, kind: str
) -> None:
    found = architectures.vector_differences(architectures.ENCODERS[kind](tmp_path))
    assert architectures.same(found), found


@pytest.mark.parametrize("kind", made_by_benchmarks("tiny_encoders").SPARSE_ENCODERS)
def test_sparse_vectors_and_their_scores_are_those_of_sentence_transformers(
    architectures: ModuleType, tmp_path: Path, kind: str
) -> None:
    found = architectures.sparse_differences(architectures.SPARSE_ENCODERS[kind](tmp_path))
    assert architectures.same(found), found

"""Vectors of every kind of encoder against sentence-transformers, as eval/benchmarks has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import made_by_benchmarks

SAME = 1e-5


@pytest.mark.parametrize("kind", made_by_benchmarks("tiny_encoders").ENCODERS)
def test_vectors_are_those_of_sentence_transformers(
    architectures: ModuleType, tmp_path: Path, kind: str
) -> None:
    make: Callable[[Path], Path] = made_by_benchmarks("tiny_encoders").ENCODERS[kind]
    found = architectures.vector_differences(make(tmp_path))
    assert found.pop("spread") > 0.05
    assert max(found.values()) <= SAME, found


@pytest.mark.parametrize("kind", made_by_benchmarks("tiny_encoders").SPARSE_ENCODERS)
def test_sparse_vectors_and_their_scores_are_those_of_sentence_transformers(
    architectures: ModuleType, tmp_path: Path, kind: str
) -> None:
    make: Callable[[Path], Path] = made_by_benchmarks("tiny_encoders").SPARSE_ENCODERS[kind]
    found = architectures.sparse_differences(make(tmp_path))
    assert found.pop("spread") > 0.05
    assert max(found.values()) <= SAME, found

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from rerank_search.errors import ModelNotFoundError
from rerank_search.reranking.base import ReportingReranker
from rerank_search.reranking.calibration import Calibrations
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.loaded_later import LoadedLater

PAIRS = [("a red bird", "the sea"), ("a boat", "a boat on the river " * 30)]


def test_what_lies_beside_the_weights_is_read_at_once(
    tiny_reranker: Path, tmp_path: Path, make_calibration: Any
) -> None:
    model = Path(shutil.copytree(tiny_reranker, tmp_path / "model"))
    make_calibration().save(model)
    (model / "model.safetensors").write_bytes(b"damaged")
    later = LoadedLater(str(model))
    assert later.calibration == Calibrations.load(model)
    assert later.fusion is None
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        later.load()
    assert LoadedLater("rerank-search-tiny").fusion is not None


def test_it_scores_as_the_model_that_it_loads(tiny_reranker: Path) -> None:
    later, model = LoadedLater(str(tiny_reranker)), CrossEncoderReranker(tiny_reranker)
    assert isinstance(later, ReportingReranker)
    for each in (later, pickle.loads(pickle.dumps(later))):  # noqa: S301 (it was pickled here)
        assert each.score(PAIRS).tolist() == model.score(PAIRS).tolist()
        found = each.score_with_report(PAIRS, long_documents="max_passage")
        expected = model.score_with_report(PAIRS, long_documents="max_passage")
        assert found.values.tolist() == expected.values.tolist()
    assert later.load() is later.load()


def test_it_takes_the_instructions_that_the_model_takes(
    tiny_reranker: Path, causal_reranker: Path
) -> None:
    assert not LoadedLater(str(tiny_reranker)).takes_instructions
    later = LoadedLater(str(causal_reranker))
    assert later.takes_instructions
    told = "Find claims"
    expected = later.load().score(PAIRS, instruction=told).tolist()
    assert later.score(PAIRS, instruction=told).tolist() == expected
    assert later.score_with_report(PAIRS, instruction=told).values.tolist() == expected


def test_a_model_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="nobody/no-such-model"):
        LoadedLater("nobody/no-such-model")

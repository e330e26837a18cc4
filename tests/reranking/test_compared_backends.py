from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.models.backends.options import options
from rerank_search.reranking.compared_backends import compared_backends

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_option_is_measured_or_says_what_it_lacks(tiny_reranker: Path) -> None:
    found = compared_backends("tiny", str(tiny_reranker))
    assert {(each.backend, each.dtype) for each in found} == {
        (each.backend, each.dtype) for each in options()
    }
    usable = [each for each in found if not each.missing]
    speeds = [each.pairs_per_second for each in usable]
    assert None not in speeds
    assert speeds == sorted(speeds, reverse=True)
    # Those that lack something come last, and have no speed.
    assert found[: len(usable)] == usable
    assert {each.pairs_per_second for each in found[len(usable) :]} <= {None}


def test_what_was_measured_is_not_measured_again(tiny_reranker: Path, cache: Path) -> None:
    (cache / "backends").mkdir(parents=True)
    first = compared_backends("tiny", str(tiny_reranker))
    [path] = (cache / "backends").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"torch float32": 1e9}))
    again = compared_backends("tiny", str(tiny_reranker))
    assert len(again) == len(first)
    assert (again[0].backend, again[0].dtype, again[0].pairs_per_second) == (
        "torch",
        "float32",
        1e9,
    )


def test_a_model_that_sentence_transformers_reads_is_measured_too(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_reranker, tmp_path / "copy"))
    config = copy / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"made_by": "a test"}))
    found = compared_backends("copy", str(copy))
    assert found[0].pairs_per_second


def test_a_model_that_cannot_be_loaded_is_an_error(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        compared_backends("nowhere", str(tmp_path))
    with pytest.raises(InvalidInputError):
        compared_backends("encoder", str(tiny_encoder))

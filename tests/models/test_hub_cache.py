from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from rerank_search.models.hub_cache import hub_cache

ONE = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache: a folder that does not exist yet."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def cached(cache: Path, name: str, revision: str = "a" * 40, *, main: bool = True) -> Path:
    """A snapshot as a download leaves it, with a reranker of four bytes of weights."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(ONE))
    (snapshot / "model.safetensors").write_bytes(b"four")
    if main:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(revision)
    return snapshot


def test_a_missing_or_empty_cache_has_no_models(cache: Path) -> None:
    assert (hub_cache().models, hub_cache().problem) == ((), None)
    cache.mkdir()
    assert (hub_cache().models, hub_cache().problem) == ((), None)


def test_models_are_listed_by_name_with_kind_and_size(cache: Path) -> None:
    cached(cache, "some/reranker")
    (cached(cache, "other/encoder") / "config.json").write_text("{}")
    (cache / "datasets--some--data" / "snapshots" / ("b" * 40)).mkdir(parents=True)
    (cache / "version.txt").write_text("1")
    encoder, reranker = hub_cache().models
    assert (encoder.name, encoder.kind, encoder.size) == ("other/encoder", "other", 6)
    assert (reranker.name, reranker.kind) == ("some/reranker", "reranker")
    assert reranker.problem is None


def test_the_revision_that_the_name_loads_is_described(cache: Path) -> None:
    cached(cache, "some/model")
    newer = cached(cache, "some/model", "b" * 40, main=False)
    (newer / "config.json").write_text("{}")
    assert [model.kind for model in hub_cache().models] == ["reranker"]


def test_damaged_models_are_listed_as_such_beside_the_others(cache: Path) -> None:
    cached(cache, "some/good")
    (cache / "models--some--interrupted" / "blobs").mkdir(parents=True)
    (cache / "models--some--empty" / "snapshots").mkdir(parents=True)
    (cache / "models--some--file").write_text("")
    missing = cached(cache, "some/unlinked") / "tokenizer.json"
    missing.symlink_to(cache / "nowhere")
    models = {model.name: model for model in hub_cache().models}
    assert models.pop("some/good").problem is None
    assert set(models) == {"some/interrupted", "some/empty", "some/file", "some/unlinked"}
    assert {model.problem for model in models.values()} == {
        "damaged, or its download was interrupted"
    }


def test_a_cache_that_cannot_be_read_says_why(cache: Path) -> None:
    cache.write_text("a file")
    found = hub_cache()
    assert found.models == ()
    assert "found a file" in str(found.problem)

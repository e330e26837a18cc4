from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from typer.testing import Result

from rerank_search.models.registry import DEFAULT_ENCODER, installed_encoder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, with a model whose name would move the cursor of a terminal."""
    folder = tmp_path / "hub"
    snapshot = folder / "models--some--odd\x1b[31m" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"architectures": ["HF_ColBERT"]}')
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def test_models_are_listed_in_a_hundred_columns_and_say_how_to_use_one(
    called: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = called("models", COLUMNS="")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 100
    for text in ("rerank-search-tiny", "Qwen/Qwen3-Reranker-0.6B", "multi-vector", "--encoder"):
        assert text in done.stdout
    assert "no .safetensors weights" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.count(DEFAULT_ENCODER) == 2  # its row and its page


def test_json_has_the_same_models_with_all_facts(answer: Callable[..., Any]) -> None:
    found = answer("models")
    bundled = {each["facts"]["name"]: each for each in found["bundled"]}
    assert bundled["rerank-search-base"]["size"] > 40_000_000
    assert (DEFAULT_ENCODER in bundled) == (installed_encoder() is not None)
    assert [each["kind"] for each in found["cached"]] == ["multi-vector"]
    known = {each["name"]: each for each in found["known"]}
    assert known["Alibaba-NLP/gte-reranker-modernbert-base"]["figure"] == "BEIR 56.19"
    assert known[DEFAULT_ENCODER]["figure"] is None
    assert found["looked_up"].startswith("2026-")


def test_a_cache_that_cannot_be_read_is_a_note_and_no_failure(
    called: Callable[..., subprocess.CompletedProcess[str]],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = cache.parent / "file"
    file.write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(file))
    done = called("models", "--json")
    assert done.returncode == 0
    assert done.stderr.startswith(f"the hub's cache in {file} cannot be read: ")
    assert json.loads(done.stdout)["cached"] == []


def test_rerankers_of_installed_packages_are_listed_with_their_package(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "odd_rerankers-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-rerankers\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[rerank_search.rerankers]\nby-length = odd_rerankers:ByLength\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    lines = run("models").stdout.splitlines()
    assert any("by-length" in line and "the package odd-rerankers" in line for line in lines)

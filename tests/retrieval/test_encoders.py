import hashlib
from pathlib import Path

import numpy as np
import pytest

from rerank_search import Document, Index, InvalidInputError
from rerank_search.errors import IndexMismatchError
from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.encoder import Encoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.retrieval.remote_encoder import RemoteEncoder
from rerank_search.retrieval.sparse_encoder import SparseEncoder


class WordCounts:
    """An encoder of another class: a text's words, each counted at one of 64 places."""

    name, revision = "word counts", None
    query_prompt, document_prompt, truncate_dim, pooling = None, None, None, None
    may_change = False
    prompts, unused_prompts, tells_tasks_apart = Prompts(), [], False
    dimension, window = 64, None

    def encode(self, texts, *, task=None, prompt=None):
        vectors = np.full((len(texts), self.dimension), 1e-3, np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in f"{prompt or ''}{text}".split():
                row[hashlib.sha256(word.encode()).digest()[0] % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def token_offsets(self, text):
        return [(i, i + 1) for i in range(len(text))]

    def check_found(self):
        pass

    def identity(self):
        return [self.name]


def test_a_name_gives_an_encoder_that_is_not_loaded_yet() -> None:
    encoder = encoder_of("nobody/no-such-encoder", revision="v1")
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.revision) == ("nobody/no-such-encoder", "v1")


def test_the_default_of_the_environment_may_be_a_url(monkeypatch) -> None:
    monkeypatch.setenv("RERANK_SEARCH_ENCODER", "http://h/v1/embeddings#m")
    encoder = encoder_of("auto", query_prompt="q: ")
    assert isinstance(encoder, RemoteEncoder)
    assert (encoder.name, encoder.query_prompt) == ("http://h/v1/embeddings#m", "q: ")


def test_an_encoder_is_itself() -> None:
    encoder = WordCounts()
    assert encoder_of(encoder) is encoder
    with pytest.raises(InvalidInputError, match="truncate_dim=8 exclude each other"):
        encoder_of(encoder, truncate_dim=8)


@pytest.mark.parametrize("wrong", [None, 3, b"model", WordCounts])
def test_what_is_neither_a_name_nor_an_encoder_is_refused(wrong) -> None:
    with pytest.raises(InvalidInputError, match="encoder"):
        encoder_of(wrong)


@pytest.mark.parametrize("texts", ["abc", b"abc", {"abc"}, [5], ["\ud800"], None])
def test_only_a_list_of_texts_is_encoded(tiny_encoder: Path, sparse_encoder: Path, texts) -> None:
    for encoder in (Encoder(tiny_encoder), SparseEncoder(sparse_encoder)):
        with pytest.raises(InvalidInputError, match="text"):
            encoder.encode(texts)


def test_an_index_needs_no_more_of_an_encoder_than_the_protocol(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=WordCounts()) as index:
        index.add([Document("a", "the red bird"), Document("b", "an old tower")])
        [hits] = index.retriever("dense").retrieve(["red bird"], 2)
        assert [hit.id for hit in hits] == ["a", "b"]
        [scored] = index.stage_scores(["red bird"], [hits])
        assert [hit.stage_scores["dense"] for hit in scored] == [hit.score for hit in hits]
        index.rebuild()
        assert index.verify() == []
    with Index.open(tmp_path / "index", encoder=WordCounts()) as again:
        assert again.retriever("dense").retrieve(["red bird"], 2) == [hits]
        assert again.info().encoder == "word counts"


def test_another_encoder_of_the_same_class_is_noticed(tmp_path: Path) -> None:
    Index.create(tmp_path / "index", encoder=WordCounts()).close()
    other = WordCounts()
    other.name, other.dimension = "more places", 128
    with pytest.raises(IndexMismatchError, match="128 dimensions instead of 64"):
        Index.open(tmp_path / "index", encoder=other)

"""Pickles for other processes: names and settings, never weights or keys."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search import (
    AsyncClient,
    Cascade,
    Client,
    CrossEncoder,
    CrossEncoderReranker,
    Document,
    EncodedQuery,
    Fusion,
    Index,
    IndexReadOnlyError,
    InvalidInputError,
    ModelNotFoundError,
    RerankSearchError,
    Searcher,
)
from rerank_search.client import ServerError
from rerank_search.reranking.fusion import Weights
from rerank_search.retrieval.encoder import Encoder
from rerank_search.retrieval.hybrid_fusion import ReciprocalRankFusion
from rerank_search.serving.errors import ApiError, OverloadedError

DOCUMENTS = [
    Document("join", "join two paths", metadata={"kind": "path"}),
    Document("bread", "bread and cheese for the kitchen"),
    Document("boat", "a boat on the river"),
]
PAIRS = [("join paths", document.text) for document in DOCUMENTS]


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, max_length=32, cache_size=10)


@pytest.fixture
def index(tmp_path: Path, tiny_encoder: Path) -> Any:
    with Index.create(tmp_path / "index", encoder=str(tiny_encoder)) as index:
        index.add(DOCUMENTS)
        yield index


def test_a_reranker_is_pickled_by_name_and_settings(reranker: CrossEncoderReranker):
    pickled = pickle.dumps(reranker)
    assert len(pickled) < 2_000
    found = pickle.loads(pickled)
    assert (found.name, found.max_length, found.backend) == (reranker.name, 32, "torch")
    np.testing.assert_array_equal(found.score(PAIRS), reranker.score(PAIRS))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_reranker_is_loaded_again(copied: Any, reranker: CrossEncoderReranker):
    found = copied(reranker)
    assert found is not reranker
    np.testing.assert_array_equal(found.score(PAIRS), reranker.score(PAIRS))


def test_a_fusion_that_was_set_travels_with_its_reranker(tiny_reranker: Path):
    reranker = CrossEncoderReranker(tiny_reranker)
    reranker.fusion = Fusion([Weights(-1.0, {"rerank": 0.5})])
    assert again(reranker).fusion.models == reranker.fusion.models


def test_a_cross_encoder_keeps_the_arguments_of_sentence_transformers(tiny_reranker: Path):
    import torch

    model = CrossEncoder(tiny_reranker, activation_fn=torch.nn.Identity(), max_length=32)
    found = again(model)
    assert type(found) is CrossEncoder
    np.testing.assert_array_equal(found.predict(PAIRS), model.predict(PAIRS))


def test_an_activation_that_cannot_be_pickled_is_named(tiny_reranker: Path):
    model = CrossEncoder(tiny_reranker, activation_fn=lambda logits: logits)
    with pytest.raises(InvalidInputError, match=r"activation_fn=.*lambda"):
        pickle.dumps(model)


def test_a_token_of_a_hub_is_not_pickled(tiny_reranker: Path):
    model = CrossEncoder(tiny_reranker, token="hf_secret")
    with pytest.raises(InvalidInputError, match="set HF_TOKEN on both sides") as raised:
        pickle.dumps(model)
    assert "hf_secret" not in str(raised.value)


def test_weights_that_were_changed_are_not_lost_silently(tiny_reranker: Path):
    import torch

    model = CrossEncoder(tiny_reranker)
    with torch.no_grad():
        next(model.model.parameters()).add_(1)
    with pytest.raises(InvalidInputError, match="were changed, and a pickle would lose"):
        pickle.dumps(model)


def test_a_model_that_the_other_side_lacks_is_named(reranker: CrossEncoderReranker, tmp_path: Path):
    pickled = pickle.dumps(reranker)
    gone = pickled.replace(reranker.name.encode(), b"x" * len(reranker.name))
    with pytest.raises(ModelNotFoundError, match="xxx"):
        pickle.loads(gone)


def test_a_cascade_is_pickled_with_its_rerankers(reranker: CrossEncoderReranker):
    cascade = Cascade([reranker, reranker], keep=[2])
    found = again(cascade)
    assert found.name == cascade.name
    np.testing.assert_array_equal(found.score(PAIRS), cascade.score(PAIRS))


def test_a_query_keeps_its_vector():
    query = again(EncodedQuery("red", [1, 2]))
    assert (query, query.vector) == ("red", (1.0, 2.0))


def test_an_encoder_is_loaded_again(tiny_encoder: Path):
    encoder = Encoder(tiny_encoder, device="cpu", query_prompt="q: ", truncate_dim=8)
    expected = encoder.encode(["join paths"])
    np.testing.assert_array_equal(again(encoder).encode(["join paths"]), expected)
    assert again(encoder).prompts == encoder.prompts


def test_an_index_is_opened_again_for_reading(index: Index):
    with again(index) as found:
        assert found.get("join") == DOCUMENTS[0]
        with pytest.raises(IndexReadOnlyError):
            found.add([Document("new", "text")])
        index.add([Document("new", "a tower")])
        [hits] = found.retriever("bm25").retrieve(["tower"], 1)
        assert hits[0].id == "new"


def test_an_index_travels_by_its_absolute_path(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(index.path.parent)
    with Index.open(index.path.name) as relative:
        pickled = pickle.dumps(relative)
    monkeypatch.chdir("/")
    with pickle.loads(pickled) as found:
        assert len(found) == len(DOCUMENTS)


@pytest.mark.parametrize("name", ["bm25", "dense", "hybrid"])
def test_a_retriever_finds_the_same(name: str, index: Index):
    retriever = index.retriever(name)
    assert again(retriever).retrieve(["join paths"], 3) == retriever.retrieve(["join paths"], 3)


def test_a_hybrid_keeps_its_fusion_and_opens_its_index_once(index: Index):
    retriever = index.retriever("hybrid", fusion=ReciprocalRankFusion(k=1))
    assert again(retriever).retrieve(["join paths"], 3) == retriever.retrieve(["join paths"], 3)
    opened = []

    class Counting(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            opened.extend([value] if isinstance(value, Index) else [])
            return NotImplemented

    Counting(io.BytesIO()).dump(retriever)
    assert opened == [index]


@pytest.mark.process
def test_a_searcher_answers_the_same_in_a_spawned_process(
    index: Index, reranker: CrossEncoderReranker
):
    fusion = Fusion([Weights(-1.0, {"rerank": 0.5, "dense": 1.0})])
    searcher = Searcher(index, reranker, fusion=fusion, on_rerank_error="first_stage")
    expected = [(hit.id, hit.score) for hit in searcher.search("join paths").hits]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        response = pool.apply_async(searcher.search, ["join paths"]).get(timeout=300)
    assert [hit.id for hit in response.hits] == [id for id, _ in expected]
    assert response.reranked
    np.testing.assert_allclose([hit.score for hit in response.hits], [s for _, s in expected], 1e-4)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_is_pickled_without_a_key_only(kind: Any):
    client = kind("http://127.0.0.1:1/at", "docs", timeout=3.0, retries=1)
    found = again(client)
    assert repr(found) == repr(client)
    assert pickle.dumps(found) == pickle.dumps(client)
    with pytest.raises(InvalidInputError, match="make the client where it is used") as raised:
        pickle.dumps(kind("http://127.0.0.1:1", api_key="rs_secret"))
    assert "rs_secret" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        RerankSearchError("message"),
        ServerError("message", status=500, type="internal", request_id="7"),
        ApiError(404, "not_found", "message", {"X": "y"}),
        OverloadedError("message", retry_after=7.0),
    ],
)
def test_an_error_comes_back_from_another_process(error: RerankSearchError):
    found = again(error)
    assert (type(found), str(found)) == (type(error), "message")
    assert found.__dict__ == error.__dict__

"""Retrievers, postprocessors and stores are pickled with every argument, and without secrets."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from rerank_search import Index, InvalidInputError
from rerank_search.plugins.llama_index import (
    RerankSearchPostprocessor,
    RerankSearchRetriever,
    RerankSearchVectorStore,
)
from tests.plugins.conftest import QUERY


def test_a_postprocessor(calibrated: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(calibrated.parent)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("bread", "join paths")]
    postprocessor = RerankSearchPostprocessor(
        reranker=Path(calibrated.name), top_n=1, min_relevance=0.01, keep_retrieval_score=True
    )
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    assert len(found) == 1
    read = pickle.loads(pickle.dumps(postprocessor))
    monkeypatch.chdir("/")
    assert read.to_dict() == {**postprocessor.to_dict(), "reranker": str(calibrated)}
    assert read.postprocess_nodes(nodes, query_str=QUERY) == found


class Lengths:
    name = "lengths"

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def test_a_reranker_that_is_an_object(notes: Path):
    read = pickle.loads(pickle.dumps(RerankSearchPostprocessor(reranker=Lengths())))
    assert type(read.reranker) is Lengths

    class Local(Lengths):
        pass

    # LlamaIndex would leave it out, and the default would take its place.
    for made in (
        RerankSearchPostprocessor(reranker=Local()),
        RerankSearchVectorStore(index=notes, reranker=Local()),
        RerankSearchRetriever(index=notes, reranker=Local()),
    ):
        with pytest.raises((AttributeError, pickle.PicklingError), match="Local"):
            pickle.dumps(made)


def test_a_retriever(notes: Path, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(notes.parent)
    options = {"similarity_top_k": 2, "filter": {"word": "boat"}, "text": "passage"}
    retriever = RerankSearchRetriever(index="notes", reranker=str(tiny_reranker), **options)
    found = retriever.retrieve(QUERY)
    read = pickle.loads(pickle.dumps(retriever))
    retriever.close()
    monkeypatch.chdir("/")
    assert read.retrieve(QUERY) == found
    read.close()


def test_a_retriever_with_a_key():
    url = "http://127.0.0.1:8000/v1/indexes/notes"
    retriever = RerankSearchRetriever(index=url, api_key="rs_secret")
    with pytest.raises(InvalidInputError, match="cannot be pickled"):
        pickle.dumps(retriever)
    assert "rs_secret" not in repr(retriever)
    pickle.loads(pickle.dumps(RerankSearchRetriever(index=url))).close()


def test_a_vector_store(notes: Path, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(notes.parent)
    store = RerankSearchVectorStore(index="notes", reranker=tiny_reranker)
    query = VectorStoreQuery(query_str=QUERY, similarity_top_k=3)
    found = store.query(query)
    read = pickle.loads(pickle.dumps(store))
    store.close()
    monkeypatch.chdir("/")
    assert read.query(query) == found
    assert read.to_dict()["index"] == str(notes)
    read.close()
    with Index.open(notes, read_only=True) as index:
        read = pickle.loads(pickle.dumps(RerankSearchVectorStore(index=index, reranker=None)))
        assert read.client is not index
        assert read.query(query).ids
        read.client.close()

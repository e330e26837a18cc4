"""Options that the plugin of each framework passes on: vectors of queries, and instructions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rerank_search import CrossEncoderReranker, Document, Index, InvalidInputError, Searcher
from rerank_search.plugins.rerankers import TextRanker

VECTORS = {"east": [1.0, 0.0], "north": [0.0, 1.0], "between": [0.6, 0.8]}
TEXTS = ["the boat is in the harbour", "bread and cheese", "a river runs to the sea"]
QUERY = "where is the boat?"
TOLD = "Find claims that the text supports"


# Vectors of queries


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("own") / "index"
    with Index.create(folder, encoder=None, dimension=2) as index:
        index.add([Document(name, name) for name in VECTORS], vectors=VECTORS.values())
        yield index


def langchain_ids(index: Path, made: dict[str, Any], called: dict[str, Any]) -> list[str | None]:
    from rerank_search.plugins.langchain import RerankSearchRetriever

    retriever = RerankSearchRetriever(index=index, reranker=None, first_stage="dense", **made)
    try:
        found = retriever.invoke("a", **called)
        assert asyncio.run(retriever.ainvoke("a", **called)) == found
    finally:
        retriever.close()
    return [each.id for each in found]


def llama_index_ids(index: Path, made: dict[str, Any], called: dict[str, Any]) -> list[str]:
    from rerank_search.plugins.llama_index import RerankSearchRetriever

    retriever = RerankSearchRetriever(index=index, reranker=None, first_stage="dense", **made)
    try:
        return [each.node_id for each in retriever.with_options(**called).retrieve("a")]
    finally:
        retriever.close()


def haystack_ids(index: Path, made: dict[str, Any], called: dict[str, Any]) -> list[str]:
    from haystack_integrations.components.retrievers.rerank_search import RerankSearchRetriever

    retriever = RerankSearchRetriever(index=index, reranker=None, first_stage="dense", **made)
    try:
        return [each.id for each in retriever.run("a", **called)["documents"]]
    finally:
        retriever.close()


@pytest.mark.parametrize("ids", [langchain_ids, llama_index_ids, haystack_ids])
def test_a_query_brings_its_vector(own: Index, ids: Callable[..., list[str]]) -> None:
    for vector in VECTORS.values():
        expected = Searcher(own, reranker=None).search("a", query_vector=vector).hits
        wanted = [hit.id for hit in expected]
        assert ids(own.path, {"query_vector": vector}, {}) == wanted
        # The vector of a call wins.
        assert ids(own.path, {"query_vector": [-1, 0.5]}, {"query_vector": vector}) == wanted
    with pytest.raises(InvalidInputError, match="has no vector"):
        ids(own.path, {}, {})
    with pytest.raises(InvalidInputError, match="has 3 numbers, and those of the index have 2"):
        ids(own.path, {}, {"query_vector": [1, 2, 3]})
    with pytest.raises(ValueError, match="query_vector has '1' at place 0"):
        ids(own.path, {"query_vector": ["1", 0]}, {})


# Instructions


@pytest.fixture(scope="module")
def causal(causal_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(causal_reranker, device="cpu")


def compressor_scores(reranker: Any, options: Mapping[str, Any]) -> list[float]:
    from langchain_core.documents import Document as Found

    from rerank_search.plugins.langchain import RerankSearchCompressor

    compressor = RerankSearchCompressor(reranker=reranker, top_n=None, **options)
    documents = [Found(text, id=text) for text in TEXTS]
    best = compressor.compress_documents(documents, QUERY)
    assert asyncio.run(compressor.acompress_documents(documents, QUERY)) == best
    return _by_text({each.id: each.metadata["relevance_score"] for each in best})


def cross_encoder_scores(reranker: Any, options: Mapping[str, Any]) -> list[float]:
    from rerank_search.plugins.langchain import RerankSearchCrossEncoder

    model = RerankSearchCrossEncoder(reranker, **options)
    return model.score([(QUERY, text) for text in TEXTS])


def postprocessor_scores(reranker: Any, options: Mapping[str, Any]) -> list[float]:
    from llama_index.core.schema import NodeWithScore, TextNode

    from rerank_search.plugins.llama_index import RerankSearchPostprocessor

    postprocessor = RerankSearchPostprocessor(reranker=reranker, top_n=None, **options)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    best = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    return _by_text({each.text: each.score for each in best})


def ranker_scores(reranker: Any, options: Mapping[str, Any]) -> list[float]:
    from haystack import Document as Found

    from haystack_integrations.components.rankers.rerank_search import RerankSearchRanker

    documents = [Found(content=text) for text in TEXTS]
    best = RerankSearchRanker(reranker, **options).run(QUERY, documents)["documents"]
    again = RerankSearchRanker(reranker).run(QUERY, documents, **options)["documents"]
    assert again == best
    return _by_text({each.content: each.score for each in best})


def _by_text(scores: Mapping[Any, Any]) -> list[float]:
    return [scores[text] for text in TEXTS]


EVERY = [compressor_scores, cross_encoder_scores, postprocessor_scores, ranker_scores]


@pytest.mark.parametrize("scores", EVERY)
def test_an_instruction_reaches_the_reranker(
    causal: CrossEncoderReranker, scores: Callable[..., list[float]]
) -> None:
    pairs = [(QUERY, text) for text in TEXTS]
    for instruction, options in ((None, {}), (TOLD, {"instruction": TOLD})):
        logits = causal.score(pairs, instruction=instruction)
        expected = logits if scores is cross_encoder_scores else causal.activated(logits)
        assert scores(causal, options) == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("scores", EVERY)
def test_an_instruction_that_cannot_be_used_is_refused(
    tiny_reranker: Path, scores: Callable[..., list[float]]
) -> None:
    with pytest.raises(InvalidInputError, match="takes no instruction: leave it out"):
        scores(tiny_reranker, {"instruction": TOLD})
    with pytest.raises(ValueError, match="instruction=' ' is blank"):
        scores(tiny_reranker, {"instruction": " "})


def test_no_texts_load_nothing_for_an_instruction() -> None:
    assert TextRanker("no-such-model").ranked(QUERY, [], instruction=TOLD) == []
    with pytest.raises(InvalidInputError, match="the instruction is not a string: 5"):
        TextRanker("no-such-model").ranked(QUERY, [], instruction=5)  # type: ignore[arg-type]

"""Each framework's own reranking class, and the line that takes its place.

Usage: python examples/replacements.py [QUESTION]

The candidates are those that BM25 finds in the index python-docs. It prints how long both sides
take with the same model. Haystack's own ranker is in the package sentence-transformers-haystack.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rerank_search import Index, Searcher
from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker

TOP = 10
MODEL = resolve_reranker(DEFAULT_RERANKER)

Rerank = Callable[[str, Sequence[str]], list[str]]
"""The best texts for a query, the best first."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A framework's class and the plugin's, by name."""

    theirs: tuple[str, Rerank]
    ours: tuple[str, Rerank]


def langchain() -> Pair:
    """CrossEncoderReranker, with a model as langchain-community's HuggingFaceCrossEncoder is."""
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import Document
    from sentence_transformers import CrossEncoder

    from rerank_search.plugins.langchain import RerankSearchCompressor

    class HuggingFaceCrossEncoder(BaseCrossEncoder):
        def __init__(self) -> None:
            self.client = CrossEncoder(MODEL, device="cpu")

        def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
            scores: list[float] = self.client.predict(text_pairs)
            return scores

    theirs = CrossEncoderReranker(model=HuggingFaceCrossEncoder(), top_n=TOP)
    ours = RerankSearchCompressor(top_n=TOP)

    def by(compressor: CrossEncoderReranker | RerankSearchCompressor) -> Rerank:
        def rerank(query: str, texts: Sequence[str]) -> list[str]:
            documents = [Document(text) for text in texts]
            found = compressor.compress_documents(documents, query)
            return [each.page_content for each in found]

        return rerank

    return Pair(
        ("CrossEncoderReranker", by(theirs)),
        ("RerankSearchCompressor", by(ours)),
    )


def llama_index() -> Pair:
    """SentenceTransformerRerank."""
    from llama_index.core.postprocessor import SentenceTransformerRerank
    from llama_index.core.schema import NodeWithScore, TextNode

    from rerank_search.plugins.llama_index import RerankSearchPostprocessor

    theirs = SentenceTransformerRerank(model=MODEL, top_n=TOP, device="cpu")
    ours = RerankSearchPostprocessor(top_n=TOP)

    def by(postprocessor: SentenceTransformerRerank | RerankSearchPostprocessor) -> Rerank:
        def rerank(query: str, texts: Sequence[str]) -> list[str]:
            nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in texts]
            found = postprocessor.postprocess_nodes(nodes, query_str=query)
            return [each.text for each in found]

        return rerank

    return Pair(
        ("SentenceTransformerRerank", by(theirs)),
        ("RerankSearchPostprocessor", by(ours)),
    )


def haystack() -> Pair:
    """SentenceTransformersSimilarityRanker."""
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.rankers.sentence_transformers import (
        SentenceTransformersSimilarityRanker,
    )

    from haystack_integrations.components.rankers.rerank_search import RerankSearchRanker

    theirs = SentenceTransformersSimilarityRanker(
        model=MODEL, top_k=TOP, device=ComponentDevice.from_str("cpu")
    )
    ours = RerankSearchRanker(top_k=TOP)

    def by(ranker: SentenceTransformersSimilarityRanker | RerankSearchRanker) -> Rerank:
        ranker.warm_up()

        def rerank(query: str, texts: Sequence[str]) -> list[str]:
            documents = [Document(content=text) for text in texts]
            return [
                each.content for each in ranker.run(query=query, documents=documents)["documents"]
            ]

        return rerank

    return Pair(
        ("SentenceTransformersSimilarityRanker", by(theirs)),
        ("RerankSearchRanker", by(ours)),
    )


FRAMEWORKS: Mapping[str, Callable[[], Pair]] = {
    "LangChain": langchain,
    "LlamaIndex": llama_index,
    "Haystack": haystack,
}


def main(question: str = "how do I copy a whole folder") -> None:
    """Rerank the same candidates by both classes of each framework."""
    with Index.open("indexes/python-docs") as index:
        found = Searcher(index, reranker=None).search(question, top_k=20, first_stage="bm25")
    texts = [hit.document.text for hit in found.hits if hit.document is not None]
    for framework, classes in FRAMEWORKS.items():
        try:
            pair = classes()
        except ImportError as error:
            print(f"{framework}: not installed ({error})")
            continue
        for name, rerank in (pair.theirs, pair.ours):
            rerank(question, texts)  # loads the model
            started = time.perf_counter()
            best = rerank(question, texts)[0]
            spent = time.perf_counter() - started
            print(f"{framework}, {name}: {spent:.2f} s, best: {best.splitlines()[0]}")


if __name__ == "__main__":
    main(*sys.argv[1:])

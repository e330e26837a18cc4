"""Each framework's own reranking class against the plugin that takes its place.

Usage: python eval/benchmarks/replacing.py [--queries N] [--candidates N]

Writes eval/results/replacing.md and .json. Both sides rerank the same BM25 candidates of
python-docs with the same model, in one process and in turn. Haystack's own ranker is in the package
sentence-transformers-haystack, and is left out if that is not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from report import table, write

from rerank_search.corpora.python_docs import python_docs
from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker
from rerank_search.retrieval.memory import MemoryRetriever

COLLECTION = Path(__file__).parent.parent / "collections" / "python-docs"
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


def asked(queries: int, candidates: int) -> list[tuple[str, list[str]]]:
    """Queries of python-docs, each with the texts of its BM25 candidates."""
    texts = list(dict.fromkeys(document.text for document in python_docs() if document.text))
    bm25 = MemoryRetriever(texts)
    with (COLLECTION / "queries.jsonl").open(encoding="utf-8") as lines:
        every = [json.loads(line)["text"] for line in lines]
    chosen = every[:: max(1, len(every) // queries)][:queries]
    return [
        (query, [texts[position] for position, _ in bm25.best(query, candidates)])
        for query in chosen
    ]


def compared(pair: Pair, work: Sequence[tuple[str, list[str]]]) -> tuple[float, float, float]:
    """The median seconds of both, and the share of queries with the same best ten in order."""
    spent: dict[str, list[float]] = {"theirs": [], "ours": []}
    same = 0
    sides = {"theirs": pair.theirs[1], "ours": pair.ours[1]}
    for rerank in sides.values():  # loading and measuring backends are not counted
        rerank(*work[0])
    for place, (query, texts) in enumerate(work):
        found = {}
        for side, rerank in sorted(sides.items(), reverse=place % 2 == 1):
            started = time.perf_counter()
            found[side] = rerank(query, texts)
            spent[side].append(time.perf_counter() - started)
        same += found["theirs"] == found["ours"]
    medians = [statistics.median(each) for each in spent.values()]
    return medians[0], medians[1], same / len(work)


def main() -> None:
    """Compare the classes of every framework, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=50)
    given = parser.parse_args()
    work = asked(given.queries, given.candidates)
    rows: list[list[object]] = []
    for framework, classes in FRAMEWORKS.items():
        try:
            pair = classes()
        except ImportError as error:
            print(f"{framework} is left out: {error}")
            continue
        theirs, ours, same = compared(pair, work)
        rows.append(
            [framework, pair.theirs[0], theirs, pair.ours[0], ours, theirs / ours, f"{same:.0%}"]
        )
        print(rows[-1], flush=True)
    headers = ["framework", "its class", "s", "the plugin", "s", "times as fast", "same ranking"]
    names = ["framework", "theirs", "theirs_s", "ours", "ours_s", "ratio", "same"]
    path = write(
        "replacing",
        "The frameworks' reranking classes and the plugins",
        "python eval/benchmarks/replacing.py",
        {
            "What is measured": f"{given.queries} queries of python-docs, each with "
            f"{given.candidates} candidates by BM25, reranked by {DEFAULT_RERANKER} on the CPU, in "
            "turn and in one process; the plugin computes with the fastest backend of this "
            "machine. Median seconds of a query, after a first one that is not counted.",
            "Time": table(headers, rows),
        },
        [dict(zip(names, row, strict=True)) for row in rows],
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

"""One search over 100 candidates, end to end: where the time goes, and what the library adds.

Usage: python eval/benchmarks/search.py

Writes eval/results/search.md and .json. Searches the documentation strings of the standard
library, with the encoder and the reranker that the demo uses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from report import table, write

from rerank_search import CrossEncoderReranker, Index, Searcher
from rerank_search.corpora.python_docs import python_docs
from rerank_search.searcher import passage

QUERIES = (
    "how do I join two paths",
    "run a shell command and capture its output",
    "parse a date from a string",
    "count how often each element occurs",
    "send an email with an attachment",
    "compare two directories",
    "read a csv file with a header row",
    "cancel a task after a timeout",
    "sort a list by a key",
    "compress a file with gzip",
)
CANDIDATES = 100


def milliseconds(started: float) -> float:
    """Since ``started``, a time.perf_counter()."""
    return (time.perf_counter() - started) * 1000


def bare(index: Index, reranker: CrossEncoderReranker, query: str) -> dict[str, float]:
    """The same work without the Searcher: both engines, the encoder, and the model."""
    engines, encoder = index._engines, index._encoder
    spent = {}
    started = time.perf_counter()
    vectors = encoder.encode([query])
    spent["encode the query"] = milliseconds(started)
    started = time.perf_counter()
    engines.engine("dense").search_vectors(vectors, CANDIDATES)
    spent["dense engine"] = milliseconds(started)
    started = time.perf_counter()
    engines.engine("bm25").search([query], CANDIDATES)
    spent["bm25 engine"] = milliseconds(started)
    hits = index.retriever("hybrid").retrieve([query], CANDIDATES)[0]
    documents = index.documents([hit.id for hit in hits])
    pairs = [
        (query, passage(replace(hit, document=document)))
        for hit, document in zip(hits, documents, strict=True)
    ]
    started = time.perf_counter()
    reranker.score(pairs)
    spent["cross-encoder"] = milliseconds(started)
    return spent


def main() -> None:
    """Measure, and write the report."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    reranker = CrossEncoderReranker("rerank-search-base")
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
        index.add(python_docs())
        searcher = Searcher(index, reranker)
        searcher.search(QUERIES[0], candidates=CANDIDATES)
        parts: list[dict[str, float]] = []
        totals: list[float] = []
        stages: list[dict[str, float]] = []
        for query in QUERIES * 3:
            parts.append(bare(index, reranker, query))
            response = searcher.search(query, candidates=CANDIDATES)
            totals.append(response.timings["total"])
            stages.append(dict(response.timings))
    median: dict[str, Any] = {
        name: statistics.median(part[name] for part in parts) for name in parts[0]
    }
    own = statistics.median(
        total - sum(part.values()) for total, part in zip(totals, parts, strict=True)
    )
    total = statistics.median(totals)
    rows = [[name, value, f"{value / total:.1%}"] for name, value in median.items()]
    rows.append(["everything else (the library)", own, f"{own / total:.1%}"])
    rows.append(["total, as the user sees it", total, "100%"])
    spans = [[name, statistics.median(stage[name] for stage in stages)] for name in stages[0]]
    verdict = "met" if own <= total / 20 else "**missed**"
    sections = {
        "What is measured": (
            f"{len(QUERIES)} queries, three times each, over the documentation strings of the "
            f"standard library; hybrid first stage, {CANDIDATES} candidates, the bundled reranker "
            "with its fusion. Each query runs first part by part without the Searcher, then "
            "through Searcher.search; medians. The library's own time is the difference, query "
            "by query; the target is at most 5% of the total."
        ),
        "Where the time goes": table(["part", "ms", "share"], rows),
        "As the response says it": table(["stage", "ms"], spans),
        "Target": f"{own / total:.1%} of at most 5%: {verdict}",
    }
    data = {"parts_ms": median, "library_ms": own, "total_ms": total}
    print(json.dumps(data))
    print(write("search", "One search, end to end", "make bench", sections, data))


if __name__ == "__main__":
    main()

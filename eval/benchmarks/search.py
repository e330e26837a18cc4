"""One search over 100 candidates, end to end: times of all parts, and the library's share.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import table, write

from rerank_search import CrossEncoderReranker, Index, Searcher
from rerank_search.corpora.python_docs import python_docs
from rerank_search.reranking.base import LongDocuments, Scores

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
    """Milliseconds since ``started``, a time.perf_counter()."""
    return (time.perf_counter() - started) * 1000


class Timed:
    """A reranker that measures the model's time inside a search."""

    def __init__(self, inner: CrossEncoderReranker) -> None:
        self.name, self.fusion, self.inner = inner.name, inner.fusion, inner
        self.milliseconds = 0.0

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """The logits."""
        return self.score_with_report(pairs).values

    def score_with_report(
        self, pairs: Sequence[tuple[str, str]], *, long_documents: LongDocuments = "truncate"
    ) -> Scores:
        """The logits, and what was cut."""
        started = time.perf_counter()
        scores = self.inner.score_with_report(pairs, long_documents=long_documents)
        self.milliseconds = milliseconds(started)
        return scores


def engines(index: Index, query: str) -> dict[str, float]:
    """Milliseconds of the encoder and of both engines, without the library around them."""
    encoder, kept = index._encoder, index._engines
    spent = {}
    started = time.perf_counter()
    vectors = encoder.encode([query])
    spent["encode the query"] = milliseconds(started)
    started = time.perf_counter()
    kept.engine("dense").search_vectors(vectors, CANDIDATES)
    spent["dense engine"] = milliseconds(started)
    started = time.perf_counter()
    kept.engine("bm25").search([query], CANDIDATES)
    spent["bm25 engine"] = milliseconds(started)
    return spent


def main() -> None:
    """Measure, and write the report."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    reranker = Timed(CrossEncoderReranker("rerank-search-base"))
    parts: list[dict[str, float]] = []
    totals: list[float] = []
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
        index.add(python_docs())
        searcher = Searcher(index, reranker)
        searcher.search("a first query loads what is loaded late", candidates=CANDIDATES)
        for query in QUERIES:
            own = engines(index, query)
            # Change the words: the index remembers the vectors of recent queries.
            response = searcher.search(f"{query} in python", candidates=CANDIDATES)
            parts.append(own | {"cross-encoder": reranker.milliseconds})
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
            f"{len(QUERIES)} queries over the documentation strings of the standard library; "
            f"hybrid first stage, {CANDIDATES} candidates, the bundled reranker with its fusion; "
            "medians. The cross-encoder is timed inside the search, the encoder and the engines "
            "just before it. The library's own time is the rest of the total."
        ),
        "Where the time goes": table(["part", "ms", "share"], rows),
        "As in the response": table(["stage", "ms"], spans),
        "Target": f"{own / total:.1%} of at most 5%: {verdict}",
    }
    data = {"parts_ms": median, "library_ms": own, "total_ms": total}
    print(json.dumps(data))
    print(write("search", "One search, end to end", "make bench", sections, data))


if __name__ == "__main__":
    main()
